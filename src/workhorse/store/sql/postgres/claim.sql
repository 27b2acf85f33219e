-- name: claim
-- available → running, attempt + 1: queue by queue, highest priority first, then the oldest, until
-- the arguments come to so many bytes. Those that are alike, as a flood's are, come as one row of
-- arrays, in no order: half the work to read. Nothing is locked against a rescue of this very worker
-- at this very moment: what is claimed then is rescued by the next pass. What is locked stays available
-- until it is claimed: a second look at its state would open `jobs_next` to the planner, which reads
-- all of it where statistics are old enough to know of nothing there.
with me as materialized (
    select lease_until > workhorse.clock() as valid, state = 'alive' as alive
      from workhorse.workers where id = %(worker)s and state in ('alive', 'draining')
), free as materialized (
    select picked.row, picked.bytes
      from unnest(%(queues)s::text[], %(ranks)s::bigint[], %(after)s::bigint[])
           as wanted(queue, rank, after)
     cross join lateral (
        select jobs.ctid as row, octet_length(args) as bytes from workhorse.jobs
         where jobs.queue = wanted.queue and state = 'available' and solo = %(solo)s
           and kind = any (%(kinds)s::text[])
           and (- priority::bigint, id) > (wanted.rank, wanted.after)
           and not exists (select 1 from workhorse.paused_queues where name = wanted.queue)
         order by - priority::bigint, id
         limit %(limit)s
           for no key update of jobs skip locked) as picked
     where (select valid and alive from me)
     limit %(limit)s
), next as materialized (
    select row
      from (select row, sum(bytes) over (rows unbounded preceding) - bytes as before from free) as _
     where before < %(bytes)s
), claimed as (
    update workhorse.jobs
       set state = 'running', attempt = attempt + 1, worker = %(worker)s, child = %(child)s,
           started_at = (select workhorse.clock()), progress = null, message = null
     where ctid = any (array(select row from next))
    returning id, attempt, kind, args, queue, priority, timeout, max_attempts, backoff, failures,
              crashes, lost, solo, cancel_at is not null as cancel_requested, enqueued_at, started_at
), told as (
    insert into workhorse.events (at, name, job_id, attempt, worker)
    select started_at, 'claim', id, attempt, %(worker)s from claimed
)
select coalesce((select valid from me), false) as valid, alike.*
  from (select 1) as always
  left join (
    select array_agg(id), array_agg(args), array_agg(enqueued_at),
           attempt, kind, queue, priority, timeout, max_attempts, failures, crashes, lost, solo,
           cancel_requested, backoff, started_at
      from claimed
     group by attempt, kind, queue, priority, timeout, max_attempts, failures, crashes, lost, solo,
              cancel_requested, backoff, started_at) as alike on true;

-- name: may_claim
-- Whether a worker may claim: its lease, its state. It neither drains nor is found lost until this
-- transaction ends.
select 1 from workhorse.workers
 where id = %(worker)s and state = 'alive' and lease_until > workhorse.clock()
   for share;

-- part: job
-- What a worker is told of a job that it holds.
       json_build_array(id, attempt, kind, args, queue, priority, timeout, max_attempts, backoff::json,
                        failures, crashes, lost, solo, cancel_at is not null, enqueued_at,
                        started_at)::text

-- name: claim_one
-- available → running, for one job by its id, of a worker that may claim (`claim.may_claim`).
with claimed as (
    update workhorse.jobs
       set state = 'running', attempt = attempt + 1, worker = %(worker)s, child = 0,
           started_at = workhorse.clock(), progress = null, message = null
     where id = %(id)s and state = 'available'
    returning *
), told as (
    insert into workhorse.events (at, name, job_id, attempt, worker)
    select started_at, 'claim', id, attempt, %(worker)s from claimed
)
select {job} from claimed;

-- name: lease
-- Whether a worker's lease is alive.
select exists (
    select 1 from workhorse.workers
     where id = %(worker)s and state in ('alive', 'draining') and lease_until > workhorse.clock());

-- name: commit_softly
-- A claim is a lease that may be lost: its commit need not be on the disk yet.
select set_config('synchronous_commit', 'off', true);

-- name: held
-- The running jobs of a worker, or of one of its children, oldest first.
select {job} from workhorse.jobs
 where worker = %(worker)s and (%(child)s::integer is null or child = %(child)s) order by id;

-- name: cancel_requests
-- Running jobs of a worker that were told to end, for how long, and why.
select id, attempt, workhorse.clock() - cancel_at, cancel_reason from workhorse.jobs
 where worker = %(worker)s and cancel_at is not null order by id;
