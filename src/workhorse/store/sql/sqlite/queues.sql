-- name: pause
-- Stop claims from a queue.
insert into paused_queues (name, paused_at) values (:queue, :now) on conflict do nothing;

-- name: resume
-- Let a queue be claimed again.
delete from paused_queues where name = :queue;

-- name: available
-- How many jobs of each queue may be claimed, and for how long the first of them could be (ms).
select queue, count(*), max(0, :now - min(run_at))
  from jobs where state = 'available' group by queue;

-- name: others
-- All other unfinished jobs of each queue.
select queue, state, count(*) from jobs where state = 'scheduled' group by queue
union all
select queue, state, count(*) from jobs where state = 'blocked' group by queue
union all
select queue, 'running', count(*) from jobs where worker is not null group by queue;

-- name: paused
-- Queues that are paused.
select name from paused_queues;

-- name: waiting
-- How many jobs of each queue and kind may be claimed …
select queue, kind, count(*) from jobs where state = 'available'
 group by queue, kind order by queue, kind;

-- name: oldest_waiting
-- … and how many of the oldest of them.
select queue, kind, count(*) from (
    select queue, kind from jobs where state = 'available' order by id limit :oldest)
 group by queue, kind order by queue, kind;
