-- name: lock
-- Where one unfinished job stands, until this transaction ends. Enqueues that are to wait for it go
-- on (`enqueue.lock_awaited`): it may have to be told to end while a caller's transaction is open …
select state from workhorse.jobs where id = %(id)s for no key update;

-- name: lock_ended
-- … and one that has ended.
select state from workhorse.history where id = %(id)s for update;

-- name: cancellable
-- Those of these that do not run; they stay so until this transaction ends. Whoever cancels them waits
-- here for the transactions that have enqueued after them (`enqueue.lock_awaited`), and then sees
-- what is to be cancelled with them.
select coalesce(json_agg(id), '[]')::text from (
    select id from workhorse.jobs
     where id = any (array(select value::bigint from json_array_elements_text(%(ids)s::json)))
       and state <> 'running'
     order by id for update) as locked;

-- part: unfinished
-- What is told of an unfinished job …
       id, kind, queue, state, priority, args, attempt, failures, crashes, lost, max_attempts,
       timeout, backoff, enqueued_at, run_at, started_at, null::bigint as finished_at, worker,
       unique_key, solo, cancel_at is not null as cancel_requested, progress, message, outcome,
       null as result, error,
       (select coalesce(json_agg(waits_for), '[]')::text
          from workhorse.dependencies where job_id = jobs.id) as waits_for,
       (select coalesce(json_agg(key), '[]')::text
          from workhorse.idempotency_keys where job_id = jobs.id) as keys
  from workhorse.jobs

-- part: finished
-- … and of a finished one.
       id, kind, queue, state, priority, args, attempt, failures, crashes, lost, max_attempts,
       timeout, backoff, enqueued_at, run_at, started_at, finished_at, worker,
       unique_key, solo, cancel_at is not null, progress, message, outcome,
       result, error, '[]',
       (select coalesce(json_agg(key), '[]')::text
          from workhorse.idempotency_keys where job_id = history.id)
  from workhorse.history

-- part: wanted
-- What a filter names …
with wanted as materialized (
    select array(select json_array_elements_text(%(states)s::json)::workhorse.state) as states,
           array(select json_array_elements_text(%(queues)s::json)) as queues,
           array(select json_array_elements_text(%(kinds)s::json)) as kinds,
           array(select json_array_elements_text(%(ids)s::json)::bigint) as ids,
           array(select json_array_elements_text(%(outcomes)s::json)::workhorse.outcome) as outcomes)

-- part: matches
-- … and whether a job fits it. A null parameter does not filter.
       (%(states)s::text is null or state = any ((select states from wanted)::workhorse.state[]))
   and (%(queues)s::text is null or queue = any ((select queues from wanted)::text[]))
   and (%(kinds)s::text is null or kind = any ((select kinds from wanted)::text[]))
   and (%(ids)s::text is null or id = any ((select ids from wanted)::bigint[]))
   and (%(worker)s::bigint is null or worker = %(worker)s)
   and (%(outcomes)s::text is null or outcome = any ((select outcomes from wanted)::workhorse.outcome[]))
   and (%(since)s::bigint is null or enqueued_at >= %(since)s)
   and (%(until)s::bigint is null or enqueued_at < %(until)s)

-- name: get
-- One job, unfinished or finished.
select {unfinished} where id = %(id)s
union all
select {finished} where id = %(id)s;

-- name: list
-- Jobs newest first. Three parts, each read only when it can hold what is wanted: the unfinished, the
-- finished, and of those, when no success is wanted, the others.
{wanted}
(select {unfinished}
  where %(unfinished)s and id < %(before)s and {matches}
  order by id desc limit %(limit)s)
union all
(select {finished}
  where %(finished)s and id < %(before)s and {matches}
  order by id desc limit %(limit)s)
union all
(select {finished}
  where %(unsuccessful)s and state <> 'succeeded' and id < %(before)s and {matches}
  order by id desc limit %(limit)s)
 order by id desc
 limit %(limit)s;

-- name: counts
-- How many jobs there are in each state.
select state, count(*) from workhorse.jobs group by state
union all
select state, count(*) from workhorse.history group by state;

-- name: unsuccessful
-- Failed and cancelled jobs that match, oldest first.
{wanted}
select id from workhorse.history
 where state <> 'succeeded' and {matches}
   and not exists (select 1 from workhorse.jobs where jobs.unique_key = history.unique_key)
 order by id
 limit %(limit)s
   for update skip locked;

-- name: attempts
-- The ended attempts of one job.
select job_id, attempt, worker, started_at, finished_at, outcome, error
  from workhorse.all_attempts where job_id = %(id)s order by attempt;

-- name: ask_to_end
-- running, told to end: its worker settles it.
update workhorse.jobs set cancel_at = workhorse.clock(), cancel_reason = %(reason)s
 where id = %(id)s and state = 'running' and cancel_at is null;

-- name: cancel
-- scheduled, blocked, available → cancelled: the row goes to the history …
with told as materialized (
    select (row ->> 0)::bigint as id, row ->> 1 as reason
      from json_array_elements(%(rows)s::json) as row)
insert into workhorse.history (
       id, kind, queue, state, priority, solo, args, attempt, failures, crashes, lost, max_attempts,
       timeout, backoff, enqueued_at, run_at, started_at, finished_at, unique_key, cancel_at, progress,
       message, outcome, error)
select id, kind, queue, 'cancelled', priority, solo, args, attempt, failures, crashes, lost,
       max_attempts, timeout, backoff, enqueued_at, run_at, started_at, workhorse.clock(), unique_key,
       coalesce(cancel_at, workhorse.clock()), progress, message, outcome,
       json_build_object('type', 'Cancelled', 'message', reason)::text
  from workhorse.jobs join told using (id)
 where id = any (array(select id from told));

-- name: cancel_event
-- … says why …
insert into workhorse.events (at, name, job_id, data)
select workhorse.clock(), 'cancel', (row ->> 0)::bigint,
       json_build_object('outcome', 'cancelled', 'reason', row ->> 1)::text
  from json_array_elements(%(rows)s::json) as row;

-- name: drop_cancelled
-- … and leaves the unfinished ones.
delete from workhorse.jobs
 where id = any (array(select value::bigint from json_array_elements_text(%(ids)s::json)));

-- name: keep_last_attempt
-- The attempt that had ended the job is one of several now.
insert into workhorse.attempts (job_id, attempt, worker, started_at, finished_at, outcome, error)
select id, attempt, worker, started_at, finished_at, outcome, error
  from workhorse.history where id = %(id)s and worker is not null;

-- name: requeue
-- failed, cancelled → available, with a fresh budget; the attempt number goes on growing.
insert into workhorse.jobs (
       id, kind, queue, state, priority, args, attempt, max_attempts, timeout, backoff, enqueued_at,
       run_at, started_at, unique_key, outcome, error)
overriding system value
select id, kind, queue, 'available', priority, args, attempt, max_attempts, timeout, backoff,
       enqueued_at, workhorse.clock(), started_at, unique_key, outcome, error
  from workhorse.history where id = %(id)s and state in ('failed', 'cancelled')
on conflict (unique_key) where unique_key is not null do nothing
returning workhorse.ring(queue);

-- name: drop_finished
-- A finished job is finished no more.
delete from workhorse.history where id = %(id)s;

-- name: due_in
-- In how many milliseconds the time of the next scheduled or blocked job comes; 0 or less when it
-- has come.
select min(run_at) - workhorse.clock() from (
    select min(run_at) as run_at from workhorse.jobs where state = 'scheduled'
    union all
    select min(run_at) from workhorse.jobs where state = 'blocked' and run_at > enqueued_at) as times;

-- name: due
-- scheduled jobs whose time has come, the longest due first.
select coalesce(json_agg(id), '[]')::text from (
    select id from workhorse.jobs
     where state = 'scheduled' and run_at <= workhorse.clock()
     order by run_at limit %(limit)s
       for no key update skip locked) as found;

-- name: promote
-- scheduled → available
update workhorse.jobs set state = 'available'
 where id = any (array(select value::bigint from json_array_elements_text(%(ids)s::json)))
   and state::text = 'scheduled'
returning workhorse.ring(queue);
