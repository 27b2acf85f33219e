-- name: create_settling
-- The attempts one transaction ends: only rows that are still the worker's get in. The planner knows
-- nothing of this table's size, and once jobs are counted it takes them for the fewer: `cross join` and
-- `+s.id` have it begin here, or it would read every job in each turn.
create temp table settling (
    id integer primary key,
    attempt integer not null,
    verb text not null,
    state text not null,
    outcome text not null,
    result text,
    error text,
    data text,
    run_at integer,
    failures integer not null default 0,
    crashes integer not null default 0,
    lost integer not null default 0,
    solo integer not null default 0
) strict;

-- name: load_completed
-- Attempts of one number that succeeded with no result: nearly all there are.
insert or ignore into settling (id, attempt, verb, state, outcome)
select jobs.id, attempt, 'complete', 'succeeded', 'ok'
  from json_each(:ids) cross join jobs on jobs.id = value
 where state = 'running' and attempt = :attempt and worker = :worker;

-- name: load
-- All other attempts. When the job was told to end, the request's reason stands for the error of one
-- that ends as cancelled.
insert or ignore into settling (id, attempt, verb, state, outcome, result, error, data, run_at,
                                failures, crashes, lost, solo)
select jobs.id, attempt, value ->> 2, value ->> 3, value ->> 4, value ->> 5,
       iif(value ->> 3 = 'cancelled' and cancel_at is not null,
           json_object('type', 'Cancelled', 'message', cancel_reason), value ->> 6),
       iif(value ->> 4 = 'cancelled' and cancel_at is not null,
           json_object('outcome', 'cancelled', 'reason', cancel_reason), value ->> 7),
       value ->> 8, value ->> 9, value ->> 10, value ->> 11, value ->> 12
  from json_each(:rows) cross join jobs on jobs.id = value ->> 0
 where state = 'running' and attempt = value ->> 1 and worker = :worker;

-- name: recorded
-- Whether this very attempt is recorded, with this outcome.
select 1 from all_attempts
 where job_id = :id and attempt = :attempt and worker = :worker and outcome = :outcome;

-- name: finish
-- running → succeeded, failed, cancelled: the row goes to the history …
insert into history (id, kind, queue, state, priority, solo, args, attempt, failures, crashes, lost,
                     max_attempts, timeout, backoff, enqueued_at, run_at, started_at, finished_at,
                     worker, unique_key, cancel_at, progress, message, outcome, result, error)
select id, kind, queue, s.state, priority, j.solo, args, j.attempt, j.failures + s.failures,
       j.crashes + s.crashes, j.lost + s.lost, max_attempts, timeout, backoff, enqueued_at,
       j.run_at, started_at, :now, worker, unique_key, cancel_at, progress, message, s.outcome,
       s.result, coalesce(s.error, j.error)
  from settling s cross join jobs j using (id)
 where s.state in ('succeeded', 'failed', 'cancelled');

-- name: drop_ended
-- … and leaves the unfinished ones.
delete from jobs
 where id in (select id from settling where state in ('succeeded', 'failed', 'cancelled'));

-- name: keep_attempts
-- Attempts that did not end their job.
insert into attempts (job_id, attempt, worker, started_at, finished_at, outcome, error)
select id, j.attempt, worker, started_at, :now, s.outcome, s.error
  from settling s cross join jobs j using (id)
 where s.state in ('available', 'scheduled');

-- name: give_back
-- running → available, scheduled
update jobs
   set state = s.state, worker = null, child = null, run_at = coalesce(s.run_at, :now),
       failures = jobs.failures + s.failures, crashes = jobs.crashes + s.crashes,
       lost = jobs.lost + s.lost, solo = s.solo, outcome = s.outcome,
       error = coalesce(s.error, jobs.error)
  from settling s
 where jobs.id = +s.id and s.state in ('available', 'scheduled');

-- name: settle_event
-- What the settled attempts add to the record.
insert into events (at, name, job_id, attempt, worker, data)
select :now, verb, id, attempt, :worker, data from settling;

-- name: succeeded
-- Settled jobs that may let others go.
select json_group_array(id) from settling where state = 'succeeded';

-- name: ended_badly
-- Settled jobs whose dependents cannot run any more.
select json_group_array(json_array(id, state)) from settling where state in ('failed', 'cancelled');

-- name: clear
-- Ready for the next transaction.
delete from settling;

-- name: output_event
-- Progress and log lines of attempts that are still the worker's.
insert into events (at, name, job_id, attempt, worker, data)
select :now, value ->> 2, jobs.id, attempt, worker, value ->> 3
  from json_each(:lines) cross join jobs on jobs.id = value ->> 0
 where state = 'running' and attempt = value ->> 1 and worker = :worker
 order by json_each.key;

-- name: progress
-- The latest progress of running jobs.
update jobs set progress = value ->> 2 ->> 'percent', message = value ->> 2 ->> 'message'
  from json_each(:rows)
 where jobs.id = value ->> 0 and state = 'running' and attempt = value ->> 1 and worker = :worker;
