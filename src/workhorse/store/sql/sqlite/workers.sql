-- name: register
-- A worker starts, with a lease from now.
insert into workers (host, pid, queues, kinds, processes, concurrency, state, started_at, renewed_at,
                     lease_until)
values (:host, :pid, :queues, :kinds, :processes, :concurrency, 'alive', :now, :now, :now + :lease)
returning id, started_at;

-- name: renew
-- The worker lives, and was not found lost. Where rows were lost, as to a backup that was put back,
-- another may have its id: `started_at` is that of its registration, if that is known.
update workers set lease_until = :now + :lease, renewed_at = :now, restarts = :restarts
 where id = :id and state in ('alive', 'draining')
   and (:started_at is null or (host, pid, started_at) = (:host, :pid, :started_at));

-- name: draining
-- alive → draining
update workers set state = 'draining' where id = :id and state = 'alive';

-- name: gone
-- The worker said goodbye.
update workers set state = 'gone', renewed_at = :now where id = :id and state in ('alive', 'draining');

-- name: lost
-- The worker was found dead; with `expired_only`, unless its lease is alive at this moment.
update workers set state = 'lost'
 where id = :id and state in ('alive', 'draining') and (not :expired_only or lease_until <= :now);

-- name: living
-- Whether a worker's lease is alive.
select 1 from workers where id = :id and state in ('alive', 'draining') and lease_until > :now;

-- name: stopped
-- Whether a worker said goodbye: what it still holds it could not give back then.
select 1 from workers where id = :id and state = 'gone';

-- name: list
-- Workers, newest first.
select id, host, pid, started_at, lease_until, state, queues, kinds, processes, concurrency,
       (select count(*) from jobs where jobs.worker = workers.id), restarts
  from workers where :gone or state in ('alive', 'draining') order by id desc;

-- part: expired
-- Workers not gone whose lease has run out, and those that still hold jobs and are gone, or not known.
select id from workers where state in ('alive', 'draining') and lease_until <= :now
 union
select worker from jobs where worker is not null
   and worker not in (select id from workers where state in ('alive', 'draining'))
 order by id

-- name: expired
-- The same, by themselves.
{expired};

-- name: look
-- What needs a supervisor, and when that is: workers whose lease has run out, or that are no more and
-- still hold jobs; available jobs that must run alone and that its worker may claim; which children
-- of its own hold jobs.
select :now,
       (select json_group_array(id) from ({expired})),
       (select count(*) from jobs join workers on workers.id = :worker
         where jobs.state = 'available' and solo = 1
           and queue in (select value from json_each(queues))
           and kind in (select value from json_each(kinds))
           and queue not in (select name from paused_queues)),
       (select json_group_array(distinct child) from jobs where worker = :worker);
