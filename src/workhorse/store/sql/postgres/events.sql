-- name: add
-- One event.
insert into workhorse.events (at, name, job_id, attempt, worker, data)
values (workhorse.clock(), %(name)s, %(job_id)s, %(attempt)s, %(worker)s, %(data)s);

-- name: for_jobs
-- The same event for several unfinished jobs.
insert into workhorse.events (at, name, job_id, data)
select workhorse.clock(), %(name)s, value::bigint, %(data)s
  from json_array_elements_text(%(ids)s::json);

-- name: of_job
-- The record of one job, after a cursor.
select seq, at, name, job_id, attempt, worker, data from workhorse.events
 where job_id = %(job_id)s and seq > %(after)s and (%(output)s or name not in ('progress', 'log'))
 order by seq limit %(limit)s;

-- name: all
-- The whole record, after a cursor. A transaction that writes events just now may add one with a lower
-- number than one seen here: what is younger than the oldest such transaction is not shown yet.
with writing as materialized (
    select max(age(backend_xid)) as oldest
      from pg_locks join pg_stat_activity using (pid)
     where relation = 'workhorse.events'::regclass and mode = 'RowExclusiveLock'
       and pid <> pg_backend_pid()
)
select seq, at, name, job_id, attempt, worker, data
  from workhorse.events cross join writing
 where seq > %(after)s and (%(output)s or name not in ('progress', 'log'))
   and (oldest is null or age(events.xmin) > oldest)
 order by seq limit %(limit)s;

-- name: drop
-- The events of a job that is gone.
delete from workhorse.events where job_id = %(id)s;
