-- name: complete
-- running → succeeded, for attempts that are still the worker's: the row goes to the history.
-- Says how many there were. No join: its planner would expect one row, and loop over the list for
-- each; `is true` keeps it from making the list one.
with mine as (
    delete from workhorse.jobs
     where id = any (%(ids)s::bigint[]) and coalesce(worker, 0) = %(worker)s and state = 'running'
       and ((id, attempt) in (
            select * from unnest(%(ids)s::bigint[], %(attempts)s::integer[]))) is true
    returning *
), kept as (
    insert into workhorse.history (
           id, kind, queue, state, priority, solo, args, attempt, failures, crashes, lost,
           max_attempts, timeout, backoff, enqueued_at, run_at, started_at, finished_at, worker,
           unique_key, cancel_at, progress, message, outcome, result, error)
    select id, kind, queue, 'succeeded', priority, solo, args, attempt, failures, crashes, lost,
           max_attempts, timeout, backoff, enqueued_at, run_at, started_at, (select workhorse.clock()),
           worker, unique_key, cancel_at, progress, message, 'ok',
           case when cardinality(%(results)b::text[]) > 0
                then (%(results)b::text[])[array_position(%(ids)s::bigint[], id)] end,
           error
      from mine
), told as (
    insert into workhorse.events (at, name, job_id, attempt, worker)
    select (select workhorse.clock()), 'complete', id, attempt, worker from mine
)
select count(*) from mine;

-- name: others
-- running → succeeded, failed, cancelled, available, scheduled, by what `rows` says of each attempt
-- that is still the worker's. When the job was told to end, the request's reason (`requested`) stands
-- for the error of one that ends as cancelled, and one that would be given back is cancelled instead.
-- Only an end waits, at its delete, for the transactions that have enqueued after the job.
with ended as materialized (
    select * from json_to_recordset(%(rows)s::json) as ended(
        id bigint, attempt integer, verb workhorse.event_name, state workhorse.state,
        outcome workhorse.outcome, result text, error text, data text, delay bigint, failures integer,
        crashes smallint, lost smallint, solo boolean)
), mine as materialized (
    select jobs.id, jobs.attempt, jobs.kind, jobs.queue, jobs.priority, jobs.args, jobs.max_attempts,
           jobs.timeout, jobs.backoff, jobs.enqueued_at, jobs.run_at, jobs.started_at, jobs.worker,
           jobs.unique_key, jobs.cancel_at, jobs.cancel_reason, jobs.progress, jobs.message,
           jobs.failures + ended.failures as failures, jobs.crashes + ended.crashes as crashes,
           jobs.lost + ended.lost as lost,
           case when ended.state in ('available', 'scheduled') then ended.solo else jobs.solo end as solo,
           ended.verb, ended.outcome, ended.result,
           coalesce(requested.error, ended.error) as error, coalesce(requested.data, ended.data) as data,
           coalesce(requested.error, ended.error, jobs.error) as last_error, ended.delay,
           ended.state in ('available', 'scheduled') as given_back,
           case when ended.state in ('available', 'scheduled') and jobs.cancel_at is not null
                then 'cancelled' else ended.state end as state
      from workhorse.jobs join ended on jobs.id = ended.id and jobs.attempt = ended.attempt
      left join lateral (
        select json_build_object('type', 'Cancelled', 'message', jobs.cancel_reason)::text as error,
               case when ended.outcome = 'cancelled' then
                   json_build_object('outcome', 'cancelled', 'reason', jobs.cancel_reason)::text
               end as data
         where ended.state = 'cancelled' and jobs.cancel_at is not null) as requested on true
     where coalesce(jobs.worker, 0) = %(worker)s and jobs.state = 'running'
       for no key update of jobs
), gone as (
    delete from workhorse.jobs using mine
     where jobs.id = mine.id and mine.state in ('succeeded', 'failed', 'cancelled')
), kept as (
    insert into workhorse.history (
           id, kind, queue, state, priority, solo, args, attempt, failures, crashes, lost,
           max_attempts, timeout, backoff, enqueued_at, run_at, started_at, finished_at, worker,
           unique_key, cancel_at, progress, message, outcome, result, error)
    select id, kind, queue, state, priority, solo, args, attempt, failures, crashes, lost,
           max_attempts, timeout, backoff, enqueued_at,
           case when given_back then workhorse.clock() + coalesce(delay, 0) else run_at end,
           started_at, workhorse.clock(), case when not given_back then worker end, unique_key,
           cancel_at, progress, message, outcome, result,
           case when given_back
                then json_build_object('type', 'Cancelled', 'message', cancel_reason)::text
                else last_error end
      from mine where state in ('succeeded', 'failed', 'cancelled')
), kept_attempts as (
    insert into workhorse.attempts (job_id, attempt, worker, started_at, finished_at, outcome, error)
    select id, attempt, worker, started_at, workhorse.clock(), outcome, error
      from mine where given_back
), returned as (
    update workhorse.jobs
       set state = mine.state, worker = null, child = null,
           run_at = workhorse.clock() + coalesce(mine.delay, 0),
           failures = mine.failures, crashes = mine.crashes, lost = mine.lost, solo = mine.solo,
           outcome = mine.outcome, error = mine.last_error
      from mine
     where jobs.id = mine.id and mine.state in ('available', 'scheduled')
    returning case when jobs.state = 'available' then workhorse.ring(jobs.queue) end
), told as (
    insert into workhorse.events (at, name, job_id, attempt, worker, data)
    select workhorse.clock(), name, id, attempt, worker, data from (
        select 1 as place, verb as name, id, attempt, worker, data from mine
        union all
        select 2, 'cancel', id, null, null,
               json_build_object('outcome', 'cancelled', 'reason', cancel_reason)::text
          from mine where given_back and state = 'cancelled'
         order by place) as told
)
select coalesce(json_agg(json_build_array(id, attempt, state)), '[]')::text from mine;

-- name: wait_briefly
-- A row that another transaction keeps is not waited for until that ends.
select set_config('lock_timeout', '1s', true);

-- name: free
-- Which of these jobs no other transaction keeps: nobody does from now on. One that is to end
-- (`ending`, or told to) may be kept from that alone (`enqueue.lock_awaited`). What is gone is free.
with ending as (
    select id from workhorse.jobs
     where id = any (%(ids)s::bigint[]) and (id = any (%(ending)s::bigint[]) or cancel_at is not null)
     order by id for update skip locked
), others as (
    select id from workhorse.jobs
     where id = any (%(ids)s::bigint[]) and id <> all (%(ending)s::bigint[]) and cancel_at is null
     order by id for no key update skip locked
)
select coalesce(json_agg(id), '[]')::text from unnest(%(ids)s::bigint[]) as wanted(id)
 where id in (select id from ending union all select id from others)
    or not exists (select 1 from workhorse.jobs where jobs.id = wanted.id);

-- name: recorded
-- Whether this very attempt is recorded, with this outcome.
select 1 from workhorse.all_attempts
 where job_id = %(id)s and attempt = %(attempt)s and worker = %(worker)s and outcome = %(outcome)s;

-- name: output_event
-- Progress and log lines of attempts that are still the worker's.
insert into workhorse.events (at, name, job_id, attempt, worker, data)
select workhorse.clock(), (line ->> 2)::workhorse.event_name, jobs.id, jobs.attempt, worker, line ->> 3
  from json_array_elements(%(lines)s::json) with ordinality as said(line, place)
  join workhorse.jobs on jobs.id = (line ->> 0)::bigint and jobs.attempt = (line ->> 1)::integer
 where state = 'running' and coalesce(worker, 0) = %(worker)s
 order by place;

-- name: progress
-- The latest progress of running jobs.
update workhorse.jobs
   set progress = ((row ->> 2)::json ->> 'percent')::integer, message = (row ->> 2)::json ->> 'message'
  from json_array_elements(%(rows)s::json) as row
 where jobs.id = (row ->> 0)::bigint and jobs.attempt = (row ->> 1)::integer
   and state = 'running' and coalesce(worker, 0) = %(worker)s;
