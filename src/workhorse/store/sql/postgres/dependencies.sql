-- Here as in the other files: where ids are given, a state is compared as text, and a worker by way of a
-- function. Else the planner may take the index of all jobs in that state, or held by any worker, for
-- the shorter way: there are none, by statistics from when there were none. Ids are an array, of which it
-- expects few enough to look them up; of a query it expects a hundred.

-- name: any
-- Whether any job waits for another.
select exists (select 1 from workhorse.dependencies);

-- name: unblock_after
-- blocked → available: jobs whose last dependency is among these, which have succeeded. Says how many
-- waits are over; there may be more of them once these are as many as the limit.
select workhorse.unblock_after(%(ids)s::bigint[], %(limit)s);

-- name: add
-- A job waits for others.
insert into workhorse.dependencies (job_id, waits_for)
select %(id)s, value::bigint from json_array_elements_text(%(after)s::text::json);

-- name: satisfy
-- Nobody waits for those of these that have succeeded.
delete from workhorse.dependencies
 where waits_for = any (array(select value::bigint from json_array_elements_text(%(ids)s::json)))
   and (select state from workhorse.history where id = waits_for) = 'succeeded';

-- name: waiting
-- Some of those who wait for these, each with what it waits for; who waits is locked, so that of two
-- that end at once the later one sees both. Not among them is what another transaction keeps.
select coalesce(json_agg(json_build_array(job_id, awaited)), '[]')::text
  from workhorse.lock_waiting(
       array(select value::bigint from json_array_elements_text(%(ids)s::json)), %(limit)s);

-- name: ready
-- blocked jobs among these whose last dependency has ended and whose time has come. The offset has each
-- looked up by itself.
select coalesce(json_agg(id), '[]')::text from workhorse.jobs
 where id = any (array(select value::bigint from json_array_elements_text(%(ids)s::json)))
   and state::text = 'blocked' and run_at <= workhorse.clock()
   and not exists (select 1 from workhorse.dependencies where job_id = id offset 0);

-- name: all_ready
-- Some of the same among all, for the sweep.
select coalesce(json_agg(id), '[]')::text from (
    select id from workhorse.jobs
     where state = 'blocked' and run_at <= workhorse.clock()
       and not exists (select 1 from workhorse.dependencies where job_id = id offset 0)
     limit %(limit)s for no key update skip locked) as locked;

-- name: due
-- blocked jobs that had a time to wait for, which has come, the longest due first. Locked, so that
-- what one that ends lets go meanwhile is seen by the next statement, or by who ends it.
select coalesce(json_agg(id), '[]')::text from (
    select id from workhorse.jobs
     where state = 'blocked' and run_at > enqueued_at and run_at <= workhorse.clock()
     order by run_at limit %(limit)s
       for no key update skip locked) as found;

-- name: forget_time
-- blocked jobs among these wait for others alone, as if they had never had a time to wait for.
update workhorse.jobs set run_at = enqueued_at
 where id = any (array(select value::bigint from json_array_elements_text(%(ids)s::json)))
   and state::text = 'blocked';

-- name: unblock
-- blocked → available, from now on
update workhorse.jobs set state = 'available', run_at = workhorse.clock()
 where id = any (array(select value::bigint from json_array_elements_text(%(ids)s::json)))
   and state::text = 'blocked'
returning workhorse.ring(queue);

-- name: need_sweep
-- Whether a sweep would find anything. The offsets have each looked up by itself, until one is found.
select exists (select 1 from workhorse.dependencies
                where not exists (select 1 from workhorse.jobs where id = waits_for offset 0))
    or exists (select 1 from workhorse.jobs
                where state = 'blocked' and run_at <= workhorse.clock()
                  and not exists (
                      select 1 from workhorse.dependencies where job_id = id offset 0));

-- name: unseen
-- What some dependencies wait for that has ended, or is gone. The offset has each looked up by itself.
select distinct waits_for, (select state from workhorse.history where id = waits_for)
  from (select waits_for from workhorse.dependencies
         where not exists (select 1 from workhorse.jobs where id = waits_for offset 0)
         limit %(limit)s) as found;

-- name: forget
-- These wait for nothing: they have ended.
delete from workhorse.dependencies
 where job_id = any (array(select value::bigint from json_array_elements_text(%(ids)s::json)));
