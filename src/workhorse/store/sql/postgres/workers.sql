-- name: register
-- A worker starts, with a lease from now. The first one since another server took over, or this one
-- was started, passes many ids by: the last that were given may be lost, and their workers live.
with started as (
    update workhorse.server set started_at = pg_postmaster_start_time()
     where started_at <> pg_postmaster_start_time()
    returning only_row
), passed_by as materialized (
    select count(nextval('workhorse.workers_id_seq')) from generate_series(1, 1000)
     where exists (select from started)
)
insert into workhorse.workers (host, pid, queues, kinds, processes, concurrency, state, started_at,
                               renewed_at, lease_until)
select %(host)s, %(pid)s, %(queues)s, %(kinds)s, %(processes)s, %(concurrency)s, 'alive',
       workhorse.clock(), workhorse.clock(), workhorse.clock() + %(lease)s
  from passed_by
returning id, started_at;

-- name: renew
-- The worker lives, and was not found lost. Where rows were lost, or the schema was made anew, another
-- may have its id: `started_at` is that of its registration, if that is known.
update workhorse.workers
   set lease_until = workhorse.clock() + %(lease)s, renewed_at = workhorse.clock(),
       restarts = %(restarts)s
 where id = %(id)s and state in ('alive', 'draining')
   and (%(started_at)s::bigint is null
        or (host, pid, started_at) = (%(host)s, %(pid)s, %(started_at)s));

-- name: draining
-- alive → draining
update workhorse.workers set state = 'draining' where id = %(id)s and state = 'alive';

-- name: gone
-- The worker said goodbye.
update workhorse.workers set state = 'gone', renewed_at = workhorse.clock()
 where id = %(id)s and state in ('alive', 'draining');

-- name: lost
-- The worker was found dead; with `expired_only`, unless its lease is alive at this moment.
update workhorse.workers set state = 'lost'
 where id = %(id)s and state in ('alive', 'draining')
   and (not %(expired_only)s or lease_until <= workhorse.clock());

-- name: living
-- Whether a worker's lease is alive.
select 1 from workhorse.workers
 where id = %(id)s and state in ('alive', 'draining') and lease_until > workhorse.clock();

-- name: stopped
-- Whether a worker said goodbye: what it still holds it could not give back then.
select 1 from workhorse.workers where id = %(id)s and state = 'gone';

-- name: list
-- Workers, newest first.
select id, host, pid, started_at, lease_until, state, queues, kinds, processes, concurrency,
       (select count(*) from workhorse.jobs where jobs.worker = workers.id), restarts
  from workhorse.workers where %(gone)s or state in ('alive', 'draining') order by id desc;

-- part: expired
-- Workers not gone whose lease has run out, and those that still hold jobs and are gone, or not known.
select id from workhorse.workers
 where state in ('alive', 'draining') and lease_until <= workhorse.clock()
 union
select worker from workhorse.jobs where worker is not null
   and worker not in (select id from workhorse.workers where state in ('alive', 'draining'))
 order by id

-- name: expired
-- The same, by themselves.
{expired};

-- name: look
-- What needs a supervisor, and when that is: workers whose lease has run out, or that are no more and
-- still hold jobs; available jobs that must run alone and that its worker may claim; which children
-- of its own hold jobs.
select workhorse.clock(),
       (select coalesce(json_agg(id), '[]')::text from ({expired}) as expired),
       (select count(*) from workhorse.jobs join workhorse.workers on workers.id = %(worker)s
         where jobs.state = 'available' and solo
           and queues::jsonb ? queue and kinds::jsonb ? kind
           and queue not in (select name from workhorse.paused_queues)),
       (select coalesce(json_agg(distinct child), '[]')::text from workhorse.jobs
         where worker = %(worker)s);
