-- name: made
-- The job that an idempotency key has made.
select cast(job_id as integer),
       cast((select state from jobs where id = job_id
             union all select state from history where id = job_id) as text),
       cast((select kind from jobs where id = job_id
             union all select kind from history where id = job_id) as text)
  from idempotency_keys where key = :key;

-- name: keep
-- A key has made a job, or was answered with one that is there.
insert into idempotency_keys (key, job_id) values (:key, :job_id);

-- name: drop
-- The keys of jobs that are gone.
delete from idempotency_keys where job_id in (select value from json_each(:ids));
