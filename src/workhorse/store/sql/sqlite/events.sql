-- name: add
-- One event.
insert into events (at, name, job_id, attempt, worker, data)
values (:now, :name, :job_id, :attempt, :worker, :data);

-- name: enqueued_one
-- The event of one new job; it names the state when that is not `available`.
insert into events (at, name, job_id, data)
values (:now, 'enqueue', :id, iif(:state = 'available', null, json_object('state', :state)));

-- name: enqueued
-- The same for each job of an unbroken run of ids.
insert into events (at, name, job_id, data)
select :now, 'enqueue', id, iif(:state = 'available', null, json_object('state', :state))
  from jobs where id between :first and :last order by id;

-- name: for_jobs
-- The same event for several unfinished jobs.
insert into events (at, name, job_id)
select :now, :name, value from json_each(:ids);

-- name: of_job
-- The record of one job, after a cursor.
select seq, at, name, job_id, attempt, worker, data from events
 where job_id = :job_id and seq > :after and (:output or name not in ('progress', 'log'))
 order by seq limit :limit;

-- name: all
-- The whole record, after a cursor.
select seq, at, name, job_id, attempt, worker, data from events
 where seq > :after and (:output or name not in ('progress', 'log'))
 order by seq limit :limit;

-- name: latest
-- When the last event was written: the store's clock never goes back behind it.
select max((select coalesce(max(renewed_at), 0) from workers),
           coalesce((select at from events order by seq desc limit 1), 0));
