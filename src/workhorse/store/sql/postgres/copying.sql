-- name: alone
-- Nobody else changes anything until this transaction ends.
lock table workhorse.jobs, workhorse.history, workhorse.attempts, workhorse.dependencies,
           workhorse.idempotency_keys, workhorse.workers, workhorse.paused_queues, workhorse.events,
           workhorse.retention, workhorse.forgotten in share row exclusive mode;

-- name: patience
-- It takes as long as it takes, by all of these limits that the server knows.
select set_config(name, '0', true) from pg_settings
 where name in ('statement_timeout', 'transaction_timeout', 'idle_in_transaction_session_timeout');

-- name: counts
-- How much there is of everything.
select state::text, count(*) from workhorse.jobs group by state
union all select state::text, count(*) from workhorse.history group by state
union all select 'attempts', count(*) from workhorse.attempts
union all select 'events', count(*) from workhorse.events
union all select 'dependencies', count(*) from workhorse.dependencies
union all select 'idempotency keys', count(*) from workhorse.idempotency_keys
union all select 'paused queues', count(*) from workhorse.paused_queues
union all select 'workers', count(*) from workhorse.workers
union all select 'forgotten jobs', count(*) from workhorse.forgotten having count(*) > 0;

-- name: at_work
-- Workers whose lease is alive.
select id, host, pid from workhorse.workers
 where state in ('alive', 'draining') and lease_until > workhorse.clock() order by id;

-- name: numbers
-- The last id that was given to a job and a worker, and the last number to an event.
select (select case when is_called then last_value else 0 end from workhorse.jobs_id_seq),
       (select case when is_called then last_value else 0 end from workhorse.workers_id_seq),
       (select case when is_called then last_value else 0 end from workhorse.events_seq_seq);

-- name: go_on_after
-- The next ones come after these.
select setval('workhorse.jobs_id_seq', greatest(last_value, %(jobs)s), is_called or %(jobs)s > 0)
  from workhorse.jobs_id_seq
union all
select setval('workhorse.workers_id_seq', greatest(last_value, %(workers)s), is_called or %(workers)s > 0)
  from workhorse.workers_id_seq
union all
select setval('workhorse.events_seq_seq', greatest(last_value, %(events)s), is_called or %(events)s > 0)
  from workhorse.events_seq_seq;

-- name: end_leases
-- Workers that were not at work there are not so here, whatever this store's clock says.
update workhorse.workers set lease_until = least(lease_until, workhorse.clock())
 where state in ('alive', 'draining');
