-- name: older
-- Finished jobs of one state that ended longer ago than an age (ms), the oldest first.
select json_group_array(id) from
    (select id from history where state = :state and finished_at < :now - :age
      order by finished_at limit :limit);

-- name: one_too_many
-- Whose event it is that is one too many, when the events of these jobs are counted in their order.
select value from json_each(:ids) cross join events on job_id = value limit 1 offset :most;

-- name: count
-- How many finished jobs are kept.
select count(*) from history;

-- part: weight
-- How many bytes a finished job holds, with its attempts and events: their texts, and about as much as
-- a row takes.
       200 + length(cast(args as blob)) + ifnull(length(cast(result as blob)), 0)
           + ifnull(length(cast(error as blob)), 0)
           + (select ifnull(sum(100 + ifnull(length(cast(attempts.error as blob)), 0)), 0)
                from attempts where job_id = history.id)
           + (select ifnull(sum(100 + ifnull(length(cast(data as blob)), 0)), 0)
                from events where job_id = history.id)

-- name: weights
-- When the first jobs of one state ended that did so since an instant, and what each holds, in the
-- order of their ends: a cross join keeps that of its left side.
select json_group_array(json_array(finished_at, {weight}))
  from (select id as chosen from history
         where state = :state and finished_at >= :since and finished_at < :until
         order by finished_at limit :limit)
       cross join history on id = chosen;

-- name: weights_of
-- What each of these finished jobs holds.
select json_group_array({weight}) from json_each(:ids) cross join history on history.id = value;

-- name: counts
-- How many jobs ended in each of these states and spans of time, and when, added up.
select json_group_array(json(
    (select json_array(count(*), ifnull(sum(finished_at & 4294967295), 0)) from history
      where state = value ->> 0 and finished_at >= value ->> 1 and finished_at < value ->> 2)))
  from json_each(:spans);

-- name: alone
-- Nobody else prunes by size until this transaction ends: nobody else writes.
select 1;

-- name: drop_jobs
-- Finished jobs go …
delete from history where id in (select value from json_each(:ids));

-- name: drop_attempts
-- … with their attempts …
delete from attempts where job_id in (select value from json_each(:ids));

-- name: drop_events
-- … and their events.
delete from events where job_id in (select value from json_each(:ids));

-- name: forget
-- The attempts and events of a job that is gone are to go bit by bit.
insert into forgotten (job_id) values (:id);

-- name: forgotten
-- One such job.
select job_id from forgotten limit 1;

-- name: drop_some_events
-- Some of what happened to it …
delete from events where seq in (select seq from events where job_id = :id limit :limit);

-- name: drop_some_attempts
-- … some of its attempts …
delete from attempts where job_id = :id and attempt in
    (select attempt from attempts where job_id = :id limit :limit);

-- name: drop_forgotten
-- … and nothing is left.
delete from forgotten where job_id = :id;

-- name: move_horizon
-- Events of no job may go when they are older than this.
update retention set events_before = max(events_before, :now - :age);

-- name: drop_old_events
-- Events of workers and queues beyond the horizon.
delete from events where seq in
    (select seq from events where job_id is null and at < (select events_before from retention) limit :limit);

-- name: drop_old_workers
-- Workers long gone, but for one that still holds a job: who gives that back asks how it went.
delete from workers
 where state in ('gone', 'lost') and renewed_at < :now - :age
   and not exists (select 1 from jobs where jobs.worker = workers.id);
