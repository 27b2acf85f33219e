-- name: take
-- Jobs to be are numbered, and their idempotency keys taken where they are new: all in one order, so
-- that no two calls wait for each other. Whoever is taking one of them at this moment is waited for.
with numbered as materialized (
    select key, place, nextval('workhorse.jobs_id_seq') as id
      from unnest(%(keys)s::text[]) with ordinality as given(key, place)
), taken as (
    insert into workhorse.idempotency_keys (key, job_id)
    select key, id from numbered where key is not null order by key, place
    on conflict (key) do nothing
    returning job_id
)
select id, key is null or job_id is not null as is_new
  from numbered left join taken on job_id = id
 order by place;

-- name: made
-- The jobs that idempotency keys have made.
select key, id, state::text, kind
  from workhorse.idempotency_keys
  join (select id, state, kind from workhorse.jobs
        union all select id, state, kind from workhorse.history) as made
    on made.id = job_id
 where key = any (%(keys)s::text[]);

-- name: give
-- A key that was taken is answered with a job that is there.
update workhorse.idempotency_keys set job_id = %(job_id)s where key = %(key)s;

-- name: drop
-- The keys of jobs that are gone.
delete from workhorse.idempotency_keys
 where job_id = any (array(select value::bigint from json_array_elements_text(%(ids)s::json)));
