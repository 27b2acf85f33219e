-- name: pause
-- Stop claims from a queue.
insert into workhorse.paused_queues (name, paused_at) values (%(queue)s, workhorse.clock())
on conflict do nothing;

-- name: resume
-- Let a queue be claimed again.
delete from workhorse.paused_queues where name = %(queue)s returning workhorse.ring(name);

-- name: available
-- How many jobs of each queue may be claimed, and for how long the first of them could be (ms).
select queue, count(*), greatest(0, workhorse.clock() - min(run_at))
  from workhorse.jobs where state = 'available' group by queue;

-- name: others
-- All other unfinished jobs of each queue.
select queue, state, count(*) from workhorse.jobs where state <> 'available' group by queue, state;

-- name: paused
-- Queues that are paused.
select name from workhorse.paused_queues;

-- name: waiting
-- How many jobs of each queue and kind may be claimed …
select queue, kind, count(*) from workhorse.jobs where state = 'available'
 group by queue, kind order by queue, kind;

-- name: oldest_waiting
-- … and how many of the oldest of them.
select queue, kind, count(*) from (
    select queue, kind from workhorse.jobs where state = 'available' order by id limit %(oldest)s) as _
 group by queue, kind order by queue, kind;
