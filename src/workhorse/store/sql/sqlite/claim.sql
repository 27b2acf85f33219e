-- name: lease
-- Whether a worker's lease is alive, and whether it may claim at all: one that drains may not.
select lease_until > :now and state in ('alive', 'draining'), state = 'alive'
  from workers where id = :worker;

-- name: next
-- The next jobs of one queue: highest priority first, then the oldest. The plus hides the value from the
-- planner: with an index on `solo = 1` it would look at it, and plan anew for each claim.
select json_group_array(id) from (
    select id from jobs
     where queue = :queue and state = 'available' and solo = +:solo
       and kind in (select value from json_each(:kinds))
       and not exists (select 1 from paused_queues where name = :queue)
     order by priority desc, id
     limit :limit);

-- name: claim
-- available → running, attempt + 1
update jobs
   set state = 'running', attempt = attempt + 1, worker = :worker, child = :child,
       started_at = :now, progress = null, message = null
 where id in (select value from json_each(:ids)) and state = 'available';

-- name: claim_event
-- What the claim adds to the record.
insert into events (at, name, job_id, attempt, worker)
select :now, 'claim', jobs.id, attempt, worker
  from json_each(:ids) cross join jobs on jobs.id = value;

-- part: job
-- What a worker is told of a job that it holds.
       json_array(jobs.id, attempt, kind, args, queue, priority, timeout, max_attempts, json(backoff),
                  failures, crashes, lost, solo, cancel_at is not null, enqueued_at, started_at)

-- name: claimed
-- The claimed jobs, as one row: a row each would give up the interpreter's lock each time.
select json_group_array({job})
  from json_each(:ids) cross join jobs on jobs.id = value;

-- name: held
-- The running jobs of a worker, or of one of its children, oldest first.
select {job} from jobs
 where worker = :worker and (:child is null or child = :child) order by id;

-- name: cancel_requests
-- Running jobs of a worker that were told to end, for how long, and why.
select id, attempt, :now - cancel_at, cancel_reason from jobs
 where worker = :worker and cancel_at is not null order by id;
