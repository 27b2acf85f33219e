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
-- The whole record, after a cursor. A transaction that is still open may add a row with a lower
-- number than one seen here: of the last minutes only what is older than every open one is shown.
select seq, at, name, job_id, attempt, worker, data from workhorse.events
 where seq > %(after)s and (%(output)s or name not in ('progress', 'log'))
   and (at < workhorse.clock() - 600000
        or age(xmin) > age(pg_snapshot_xmin(pg_current_snapshot())::xid))
 order by seq limit %(limit)s;

-- name: drop
-- The events of a job that is gone.
delete from workhorse.events where job_id = %(id)s;
