-- name: counts
-- How much there is of everything.
select state, count(*) from jobs group by state
union all select state, count(*) from history group by state
union all select 'attempts', count(*) from attempts
union all select 'events', count(*) from events
union all select 'dependencies', count(*) from dependencies
union all select 'idempotency keys', count(*) from idempotency_keys
union all select 'paused queues', count(*) from paused_queues
union all select 'workers', count(*) from workers
union all select 'forgotten jobs', count(*) from forgotten having count(*) > 0;

-- name: at_work
-- Workers whose lease is alive.
select id, host, pid from workers
 where state in ('alive', 'draining') and lease_until > :now order by id;

-- name: numbers
-- The last id that was given to a job and a worker, and the last number to an event.
select coalesce(max(seq) filter (where name = 'jobs'), 0),
       coalesce(max(seq) filter (where name = 'workers'), 0),
       coalesce(max(seq) filter (where name = 'events'), 0)
  from sqlite_sequence;

-- name: go_on_after
-- The next ones come after these. The table has no key: a row is replaced by its place.
insert or replace into sqlite_sequence (rowid, name, seq)
select place, name, max(given.seq, coalesce(reached.seq, 0))
  from (select 'jobs' as name, :jobs as seq
        union all select 'workers', :workers
        union all select 'events', :events) as given
  left join (select rowid as place, name, seq from sqlite_sequence) as reached using (name);

-- name: end_leases
-- Workers that were not at work there are not so here, whatever this store's clock says.
update workers set lease_until = min(lease_until, :now) where state in ('alive', 'draining');
