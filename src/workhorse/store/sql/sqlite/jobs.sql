-- name: enqueue
-- → available or scheduled: jobs that differ in nothing but their arguments. A timeout of 0 and an empty
-- backoff stand for none: for every None it is given the driver raises and swallows an exception.
insert into jobs (kind, queue, state, priority, args, max_attempts, timeout, backoff,
                  enqueued_at, run_at)
select :kind, :queue, :state, :priority, value, :max_attempts, nullif(:timeout, 0),
       nullif(:backoff, ''), :now, :run_at
  from json_each(:args);

-- name: enqueue_one
-- → available, scheduled or blocked: one job, unless an unfinished one holds its key.
insert into jobs (kind, queue, state, priority, args, max_attempts, timeout, backoff,
                  enqueued_at, run_at, unique_key)
values (:kind, :queue, :state, :priority, :args, :max_attempts, nullif(:timeout, 0),
        nullif(:backoff, ''), :now, :run_at, :unique)
on conflict (unique_key) where unique_key is not null do nothing;

-- name: holder
-- Who holds a unique key. Cast, here as wherever an enqueue reads: a caller's connection may convert
-- columns by their declared type, and what is cast has none.
select cast(id as integer), cast(state as text), cast(kind as text)
  from jobs where unique_key = :unique;

-- name: lock
-- Where one unfinished job stands, until this transaction ends …
select cast(state as text) from jobs where id = :id;

-- name: lock_ended
-- … and one that has ended.
select cast(state as text) from history where id = :id;

-- name: cancellable
-- Those of these that do not run.
select json_group_array(id) from jobs
 where id in (select value from json_each(:ids)) and state <> 'running';

-- part: unfinished
-- What is told of an unfinished job …
       id, kind, queue, state, priority, args, attempt, failures, crashes, lost, max_attempts,
       timeout, backoff, enqueued_at, run_at, started_at, null as finished_at, worker,
       unique_key, solo, cancel_at is not null as cancel_requested, progress, message, outcome,
       null as result, error,
       (select json_group_array(waits_for) from dependencies where job_id = jobs.id) as waits_for,
       (select json_group_array(key) from idempotency_keys where job_id = jobs.id) as keys
  from jobs

-- part: finished
-- … and of a finished one.
       id, kind, queue, state, priority, args, attempt, failures, crashes, lost, max_attempts,
       timeout, backoff, enqueued_at, run_at, started_at, finished_at, worker,
       unique_key, solo, cancel_at is not null, progress, message, outcome,
       result, error, '[]',
       (select json_group_array(key) from idempotency_keys where job_id = history.id)
  from history

-- part: matches
-- Whether a job fits a filter. A null parameter does not filter.
       (:states is null or state in (select value from json_each(:states)))
   and (:queues is null or queue in (select value from json_each(:queues)))
   and (:kinds is null or kind in (select value from json_each(:kinds)))
   and (:ids is null or id in (select value from json_each(:ids)))
   and (:worker is null or worker = :worker)
   and (:outcomes is null or outcome in (select value from json_each(:outcomes)))
   and (:since is null or enqueued_at >= :since)
   and (:until is null or enqueued_at < :until)

-- name: get
-- One job, unfinished or finished.
select {unfinished} where id = :id
union all
select {finished} where id = :id;

-- name: list
-- Jobs newest first. Three parts, each read only when it can hold what is wanted: the unfinished, the
-- finished, and of those, when no success is wanted, the others.
select {unfinished} where :unfinished and id < :before and {matches}
union all
select {finished} where :finished and id < :before and {matches}
union all
select {finished}
 where :unsuccessful and state <> 'succeeded' and id < :before and {matches}
 order by id desc
 limit :limit;

-- name: counts
-- How many jobs there are in each state.
select 'available', count(*) from jobs where state = 'available'
union all select 'scheduled', count(*) from jobs where state = 'scheduled'
union all select 'blocked', count(*) from jobs where state = 'blocked'
union all select 'running', count(*) from jobs where worker is not null
union all select state, count(*) from history group by state;

-- name: unsuccessful
-- Failed and cancelled jobs that match, oldest first.
select id from history
 where state <> 'succeeded' and {matches}
   and not exists (select 1 from jobs where jobs.unique_key = history.unique_key)
 order by id
 limit :limit;

-- name: attempts
-- The ended attempts of one job.
select job_id, attempt, worker, started_at, finished_at, outcome, error
  from all_attempts where job_id = :id order by attempt;

-- name: ask_to_end
-- running, told to end: its worker settles it.
update jobs set cancel_at = :now, cancel_reason = :reason
 where id = :id and state = 'running' and cancel_at is null;

-- name: cancel
-- scheduled, blocked, available → cancelled: the row goes to the history …
insert into history (id, kind, queue, state, priority, solo, args, attempt, failures, crashes, lost,
                     max_attempts, timeout, backoff, enqueued_at, run_at, started_at, finished_at,
                     unique_key, cancel_at, progress, message, outcome, error)
select jobs.id, kind, queue, 'cancelled', priority, solo, args, attempt, failures, crashes, lost,
       max_attempts, timeout, backoff, enqueued_at, run_at, started_at, :now,
       unique_key, coalesce(cancel_at, :now), progress, message, outcome,
       json_object('type', 'Cancelled', 'message', value ->> 1)
  from json_each(:rows) cross join jobs on jobs.id = value ->> 0
 where state <> 'running';

-- name: cancel_event
-- … says why …
insert into events (at, name, job_id, data)
select :now, 'cancel', value ->> 0, json_object('outcome', 'cancelled', 'reason', value ->> 1)
  from json_each(:rows);

-- name: drop_cancelled
-- … and leaves the unfinished ones.
delete from jobs where id in (select value from json_each(:ids)) and state <> 'running';

-- name: end_requested
-- Jobs told to end that no longer run: their worker gave them back instead.
select json_group_array(json_array(id, cancel_reason)) from jobs
 where cancel_at is not null and state <> 'running';

-- name: keep_last_attempt
-- The attempt that had ended the job is one of several now.
insert into attempts (job_id, attempt, worker, started_at, finished_at, outcome, error)
select id, attempt, worker, started_at, finished_at, outcome, error
  from history where id = :id and worker is not null;

-- name: requeue
-- failed, cancelled → available, with a fresh budget; the attempt number goes on growing.
insert into jobs (id, kind, queue, state, priority, args, attempt, max_attempts, timeout, backoff,
                  enqueued_at, run_at, started_at, unique_key, outcome, error)
select id, kind, queue, 'available', priority, args, attempt, max_attempts, timeout, backoff,
       enqueued_at, :now, started_at, unique_key, outcome, error
  from history where id = :id and state in ('failed', 'cancelled')
on conflict (unique_key) where unique_key is not null do nothing;

-- name: drop_finished
-- A finished job is finished no more.
delete from history where id = :id;

-- name: due_in
-- In how many milliseconds the time of the next scheduled or blocked job comes; 0 or less when it
-- has come.
select min(run_at) - :now from (
    select min(run_at) as run_at from jobs where state = 'scheduled'
    union all
    select min(run_at) from jobs where state = 'blocked' and run_at > enqueued_at);

-- name: due
-- scheduled jobs whose time has come, the longest due first.
select json_group_array(id) from
    (select id from jobs where state = 'scheduled' and run_at <= :now order by run_at limit :limit);

-- name: promote
-- scheduled → available
update jobs set state = 'available'
 where id in (select value from json_each(:ids)) and state = 'scheduled';
