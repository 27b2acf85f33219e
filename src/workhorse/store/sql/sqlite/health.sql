-- name: counts
-- How many jobs there are in each state.
select 'available', count(*) from jobs where state = 'available'
union all select 'scheduled', count(*) from jobs where state = 'scheduled'
union all select 'blocked', count(*) from jobs where state = 'blocked'
union all select 'running', count(*) from jobs where worker is not null
union all select state, count(*) from history group by state;

-- name: schema
-- The newest migration applied.
select coalesce(max(number), 0) from schema_version;

-- name: silent_workers
-- Workers that have not been heard of and hold jobs.
select count(*) from workers where state in ('alive', 'draining') and lease_until <= :now;
