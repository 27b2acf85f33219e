-- name: one
-- → available or scheduled: one job, unless an unfinished one holds its unique key. Wakes who listens.
-- When it is due stands here twice: to name it, a function would have to be scanned.
with added as (
    insert into workhorse.jobs (id, kind, queue, state, priority, args, max_attempts, timeout, backoff,
                                enqueued_at, run_at, unique_key)
    overriding system value
    values (coalesce(%(id)s::bigint, nextval('workhorse.jobs_id_seq')), %(kind)s, %(queue)s,
            case when %(blocked)s then 'blocked'
                 when coalesce(%(run_at)s::bigint, workhorse.clock() + %(delay)s) > workhorse.clock()
                 then 'scheduled' else 'available'::workhorse.state end,
            %(priority)s, %(args)s, %(max_attempts)s, %(timeout)s, %(backoff)s, workhorse.clock(),
            coalesce(%(run_at)s::bigint, workhorse.clock() + %(delay)s), %(unique)s)
    on conflict (unique_key) where unique_key is not null do nothing
    returning id, state
), told as (
    insert into workhorse.events (at, name, job_id, data)
    select workhorse.clock(), 'enqueue', id,
           case when state <> 'available' then json_build_object('state', state)::text end
      from added
)
select id, state::text, case when %(ring)s then pg_notify(%(channel)s, %(queue)s) end from added;

-- name: many
-- → available or scheduled: jobs that differ in nothing but their arguments, in their order. Says the
-- ids of them all, and their state.
with moment as materialized (
    select now, due, case when due > now then 'scheduled' else 'available'::workhorse.state end as state
      from (select workhorse.clock() as now,
                   coalesce(%(run_at)s::bigint, workhorse.clock() + %(delay)s) as due) as at
), added as (
    insert into workhorse.jobs (id, kind, queue, state, priority, args, max_attempts, timeout,
                                backoff, enqueued_at, run_at)
    overriding system value
    select coalesce(given.id, nextval('workhorse.jobs_id_seq')), %(kind)s, %(queue)s, state,
           %(priority)s, args, %(max_attempts)s, %(timeout)s, %(backoff)s, now, due
      from unnest(%(args)b::text[], %(ids)s::bigint[]) with ordinality as given(args, id, place),
           moment
     order by place
    returning id
), told as (
    insert into workhorse.events (at, name, job_id, data)
    select now, 'enqueue', id,
           case when state <> 'available' then json_build_object('state', state)::text end
      from added, moment
)
select (select array_agg(id) from added), state::text,
       case when %(ring)s then pg_notify(%(channel)s, %(queue)s) end
  from moment;

-- name: ring
-- Wakes who listens, for jobs that are there already.
select workhorse.ring(%(queue)s);

-- name: holder
-- Who holds a unique key.
select id, state::text, kind from workhorse.jobs where unique_key = %(unique)s;

-- name: lock_awaited
-- An unfinished job that another is to wait for: it does not end before this transaction does, but
-- may be claimed, told to end, given back, and tell of its progress. If it could end, and be deleted,
-- before the commit, nobody could tell any more whether it had succeeded.
select state::text from workhorse.jobs where id = %(id)s for key share;

-- name: ended
-- Where an ended job stands.
select state::text from workhorse.history where id = %(id)s;
