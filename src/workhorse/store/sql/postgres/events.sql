-- name: add
-- One event.
insert into workhorse.events (at, name, job_id, attempt, worker, data)
values (workhorse.clock(), %(name)s, %(job_id)s, %(attempt)s, %(worker)s, %(data)s);

-- name: for_jobs
-- The same event for several unfinished jobs.
insert into workhorse.events (at, name, job_id)
select workhorse.clock(), %(name)s, value::bigint
  from json_array_elements_text(%(ids)s::json);

-- name: of_job
-- The record of one job, after a cursor.
select seq, at, name, job_id, attempt, worker, data from workhorse.events
 where job_id = %(job_id)s and seq > %(after)s and (%(output)s or name not in ('progress', 'log'))
 order by seq limit %(limit)s;

-- name: all
-- The whole record, after a cursor.
select seq, at, name, job_id, attempt, worker, data from workhorse.events
 where seq > %(after)s and (%(output)s or name not in ('progress', 'log'))
 order by seq limit %(limit)s;

-- name: flush
-- All that can be seen is on the disk after this: when something is not, it is by this commit, which
-- has to write and so waits for the disk: always, and for no standby. What a standby shows was on it
-- before.
select case when not pg_is_in_recovery() and pg_current_wal_flush_lsn() < pg_current_wal_insert_lsn()
            then set_config('synchronous_commit', 'local', true)
              || pg_logical_emit_message(true, 'workhorse', '')::text end;

-- name: writers
-- Transactions of others that have, or will have, added events, and when each began: all, or `ours`.
select virtualtransaction, (extract(epoch from xact_start) * 1000)::bigint
  from pg_locks left join pg_stat_activity using (pid)
 where database = (select oid from pg_database where datname = current_database())
   and relation = 'workhorse.events'::regclass and mode = 'RowExclusiveLock'
   and pid is distinct from pg_backend_pid()
   and (not %(ours)s or starts_with(application_name, 'workhorse '));
