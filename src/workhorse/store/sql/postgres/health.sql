-- name: schema
-- The newest migration applied.
select coalesce(max(number), 0) from workhorse.schema_version;

-- name: silent_workers
-- Workers not gone whose lease has run out.
select count(*) from workhorse.workers
 where state in ('alive', 'draining') and lease_until <= workhorse.clock();

-- name: size
-- How many bytes the tables and their indexes take.
select coalesce(sum(pg_total_relation_size(oid)), 0)::bigint
  from pg_class where relnamespace = 'workhorse'::regnamespace and relkind in ('r', 'p');

-- name: server
-- Facts about the server, for the doctor.
select current_setting('server_version'), current_setting('fsync'),
       current_setting('synchronous_commit'), current_setting('full_page_writes'),
       pg_is_in_recovery(), current_setting('transaction_read_only'),
       (select extract(epoch from max(now() - xact_start)) from pg_stat_activity
         where (backend_xmin is not null or backend_xid is not null)
           and backend_type = 'client backend'),
       (select extract(epoch from max(now() - prepared)) from pg_prepared_xacts),
       (select max(age(xmin)) from pg_replication_slots),
       (select n_live_tup from pg_stat_user_tables
         where schemaname = 'workhorse' and relname = 'jobs'),
       (select n_dead_tup from pg_stat_user_tables
         where schemaname = 'workhorse' and relname = 'jobs');

-- name: clock
-- What the store's clock says.
select workhorse.clock();
