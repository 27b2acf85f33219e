-- name: any
-- Whether any job waits for another.
select exists (select 1 from dependencies);

-- name: add
-- A job waits for others.
insert into dependencies (job_id, waits_for) select :id, value from json_each(:after);

-- name: satisfy
-- Nobody waits for these any more.
delete from dependencies where waits_for in (select value from json_each(:ids));

-- name: waiting
-- Who waits for these, and the first of those it waits for.
select json_group_array(json_array(job_id, awaited)) from (
    select job_id, min(waits_for) as awaited from dependencies
     where waits_for in (select value from json_each(:ids))
     group by job_id);

-- name: ready
-- blocked jobs among these whose last dependency has ended and whose time has come.
select json_group_array(id) from jobs
 where id in (select value from json_each(:ids)) and state = 'blocked' and run_at <= :now
   and not exists (select 1 from dependencies where job_id = id);

-- name: all_ready
-- The same among all, for the sweep.
select json_group_array(id) from jobs
 where state = 'blocked' and run_at <= :now
   and not exists (select 1 from dependencies where job_id = id);

-- name: due
-- blocked jobs that had a time to wait for, which has come, the longest due first.
select json_group_array(id) from
    (select id from jobs
      where state = 'blocked' and run_at > enqueued_at and run_at <= :now
      order by run_at limit :limit);

-- name: forget_time
-- blocked jobs among these wait for others alone, as if they had never had a time to wait for.
update jobs set run_at = enqueued_at
 where id in (select value from json_each(:ids)) and state = 'blocked';

-- name: unblock
-- blocked → available, from now on
update jobs set state = 'available', run_at = :now
 where id in (select value from json_each(:ids)) and state = 'blocked';

-- name: need_sweep
-- Whether a sweep would find anything.
select exists (select 1 from dependencies
                where not exists (select 1 from jobs where id = waits_for))
    or exists (select 1 from jobs
                where state = 'blocked' and run_at <= :now
                  and not exists (select 1 from dependencies where job_id = id));

-- name: unseen
-- Dependencies on jobs that have ended, or are gone.
select distinct waits_for, (select state from history where id = waits_for)
  from dependencies
 where not exists (select 1 from jobs where id = waits_for);

-- name: forget
-- These wait for nothing: they have ended.
delete from dependencies where job_id in (select value from json_each(:ids));
