-- Here as in the other files: where ids are given, a state is compared as text, and a worker by way of a
-- function. Else the planner may take the index of all jobs in that state, or held by any worker, for
-- the shorter way: there are none, by statistics from when there were none. Ids are an array, of which it
-- expects few enough to look them up; of a query it expects a hundred.

-- name: any
-- Whether any job waits for another.
select exists (select 1 from workhorse.dependencies);

-- name: unblock_after
-- blocked → available: jobs whose last dependency is among these, which have succeeded.
select workhorse.unblock_after(%(ids)s::bigint[]);

-- name: add
-- A job waits for others.
insert into workhorse.dependencies (job_id, waits_for)
select %(id)s, value::bigint from json_array_elements_text(%(after)s::text::json);

-- name: satisfy
-- Nobody waits for these any more.
delete from workhorse.dependencies
 where waits_for = any (array(select value::bigint from json_array_elements_text(%(ids)s::json)));

-- name: waiting
-- Who waits for these, and the first of those it waits for; who waits is locked, so that of two that
-- end at once the later one sees both. Not among them is what another transaction keeps.
select coalesce(json_agg(json_build_array(job_id, awaited)), '[]')::text
  from workhorse.lock_waiting(array(select value::bigint from json_array_elements_text(%(ids)s::json)));

-- name: ready
-- blocked jobs among these whose last dependency has ended and whose time has come. The offset has each
-- looked up by itself.
select coalesce(json_agg(id), '[]')::text from workhorse.jobs
 where id = any (array(select value::bigint from json_array_elements_text(%(ids)s::json)))
   and state::text = 'blocked' and run_at <= workhorse.clock()
   and not exists (select 1 from workhorse.dependencies where job_id = id offset 0);

-- name: all_ready
-- The same among all, for the sweep.
select coalesce(json_agg(id), '[]')::text from (
    select id from workhorse.jobs
     where state = 'blocked' and run_at <= workhorse.clock()
       and not exists (select 1 from workhorse.dependencies where job_id = id)
     order by id for no key update skip locked) as locked;

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
-- Whether a sweep would find anything.
select exists (select 1 from workhorse.dependencies
                where not exists (select 1 from workhorse.jobs where id = waits_for))
    or exists (select 1 from workhorse.jobs
                where state = 'blocked' and run_at <= workhorse.clock()
                  and not exists (select 1 from workhorse.dependencies where job_id = id));

-- name: unseen
-- Dependencies on jobs that have ended, or are gone.
select distinct waits_for, (select state from workhorse.history where id = waits_for)
  from workhorse.dependencies
 where not exists (select 1 from workhorse.jobs where id = waits_for);

-- name: forget
-- These wait for nothing: they have ended.
delete from workhorse.dependencies
 where job_id = any (array(select value::bigint from json_array_elements_text(%(ids)s::json)));
