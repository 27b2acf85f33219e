-- name: any
-- Whether any job waits for another.
select exists (select 1 from dependencies);

-- name: add
-- A job waits for others.
insert into dependencies (job_id, waits_for) select :id, value from json_each(:after);

-- name: satisfy
-- Nobody waits for those of these that have succeeded.
delete from dependencies
 where waits_for in (select value from json_each(:ids))
   and (select state from history where id = waits_for) = 'succeeded';

-- name: end_waits
-- These jobs no longer wait, each for the one beside it.
delete from dependencies
 where (job_id, waits_for) in (select value ->> 0, value ->> 1 from json_each(:pairs));

-- name: waiting
-- Some of those who wait for these, each with what it waits for.
select json_group_array(json_array(job_id, waits_for)) from (
    select job_id, waits_for from dependencies
     where waits_for in (select value from json_each(:ids))
     limit :limit);

-- name: ready
-- blocked jobs among these whose last dependency has ended and whose time has come.
select json_group_array(id) from jobs
 where id in (select value from json_each(:ids)) and state = 'blocked' and run_at <= :now
   and not exists (select 1 from dependencies where job_id = id);

-- name: all_ready
-- Some of the same among all, for the sweep.
select json_group_array(id) from
    (select id from jobs
      where state = 'blocked' and run_at <= :now
        and not exists (select 1 from dependencies where job_id = id)
      limit :limit);

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
-- What some dependencies wait for that has ended, or is gone.
select distinct waits_for, (select state from history where id = waits_for)
  from (select waits_for from dependencies
         where not exists (select 1 from jobs where id = waits_for)
         limit :limit);

-- name: forget
-- These wait for nothing: they have ended.
delete from dependencies where job_id in (select value from json_each(:ids));
