-- part: no_store
-- Whether a file is no store of ours, or not yet.
       (select count(*) from sqlite_schema where name in ('schema_version', 'history', 'attempts')) < 3

-- name: no_store
-- The same, by itself.
select {no_store};

-- name: stranger
-- A table of somebody else's, in a file that is no store.
select name from sqlite_schema
 where type in ('table', 'view') and name not like 'sqlite\_%' escape '\'
   and {no_store}
 limit 1;

-- name: taken
-- What there is by one of these names, in a file that is no store.
select name from sqlite_schema
 where name collate nocase in (select value from json_each(:names))
   and {no_store}
 order by name;

-- name: schema
-- The newest migration applied.
select coalesce(max(number), 0) from schema_version;

-- name: silent_workers
-- Workers not gone whose lease has run out.
select count(*) from workers where state in ('alive', 'draining') and lease_until <= :now;
