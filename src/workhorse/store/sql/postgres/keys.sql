-- name: take
-- An idempotency key is new: it gets the number of the job it is about to make. Whoever is taking the
-- same key at this moment is waited for.
insert into workhorse.idempotency_keys (key, job_id)
values (%(key)s, nextval('workhorse.jobs_id_seq'))
on conflict (key) do nothing
returning job_id;

-- name: made
-- The job that an idempotency key has made.
select id, state
  from workhorse.idempotency_keys
  join (select id, state from workhorse.jobs union all select id, state from workhorse.history) as made
    on made.id = job_id
 where key = %(key)s;

-- name: give
-- A key that was taken is answered with a job that is there.
update workhorse.idempotency_keys set job_id = %(job_id)s where key = %(key)s;

-- name: drop
-- The keys of jobs that are gone.
delete from workhorse.idempotency_keys
 where job_id in (select value::bigint from json_array_elements_text(%(ids)s::json));
