-- The first schema. Instants are milliseconds since 1970 UTC; timeout is in seconds.

-- The store's one clock: the server's, the same instant throughout a statement.
create function workhorse.clock() returns bigint
    language sql stable parallel safe
    return (extract(epoch from statement_timestamp()) * 1000)::bigint;

-- Wakes those who wait for jobs of a queue, once what is done here is committed.
create function workhorse.ring(queue text) returns void
    language sql
    return pg_notify(btrim('workhorse'::regnamespace::text, '"'), queue);

-- Types instead of checks on text: narrower rows, and nothing to evaluate when one is added.
create type workhorse.state as enum (
    'scheduled', 'blocked', 'available', 'running', 'succeeded', 'failed', 'cancelled');
create type workhorse.outcome as enum (
    'ok', 'error', 'rejected', 'timed_out', 'out_of_memory', 'crashed', 'lost', 'cancelled', 'expired',
    'released', 'snoozed');
create type workhorse.event_name as enum (
    'enqueue', 'promote', 'unblock', 'claim', 'complete', 'retry', 'snooze', 'release', 'fail', 'cancel',
    'rescue', 'requeue', 'progress', 'log', 'worker_started', 'worker_draining', 'worker_stopped',
    'worker_lost', 'child_died', 'queue_paused', 'queue_resumed', 'job_deleted');

-- Unfinished jobs only: what is claimed stays small whatever the past holds. A row is changed once or
-- more and goes: pages leave room for its next version, and vacuum comes early and does not dawdle.
create table workhorse.jobs (
    id bigint generated always as identity primary key,
    enqueued_at bigint not null,
    run_at bigint not null,
    priority integer not null,
    max_attempts integer not null,
    failures integer not null default 0,
    crashes smallint not null default 0,
    lost smallint not null default 0,
    solo boolean not null default false,
    kind text not null,
    queue text not null,
    args text not null,
    timeout double precision,
    backoff text,
    unique_key text,
    -- What a claim changes stands behind what it does not: the log holds only the difference.
    attempt integer not null default 0,
    child integer,
    started_at bigint,
    worker bigint,
    state workhorse.state not null,
    cancel_at bigint,
    cancel_reason text,
    progress integer,
    message text,
    outcome workhorse.outcome,
    error text,
    check (state <= 'running' and (state = 'running') = (worker is not null) and max_attempts > 0)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

-- What is next? One seek, then only rows that may be claimed, in the order they are claimed, from the
-- start or from any place on: rank and id grow together, so a place is one comparison.
create index jobs_next on workhorse.jobs (queue, solo, (- priority::bigint), id) include (kind)
    where state = 'available';
create index jobs_due on workhorse.jobs (run_at) where state = 'scheduled';
create index jobs_blocked on workhorse.jobs (run_at) where state = 'blocked';
create index jobs_blocked_until on workhorse.jobs (run_at)
    where state = 'blocked' and run_at > enqueued_at;
create index jobs_held on workhorse.jobs (worker) where worker is not null;
create index jobs_solo on workhorse.jobs (id) where solo;
create index jobs_told_to_end on workhorse.jobs (worker) where cancel_at is not null;
create unique index jobs_unique on workhorse.jobs (unique_key) where unique_key is not null;

-- Finished jobs. `worker` is set when an attempt ended the job: that attempt has no row in
-- `attempts`, it is the one told here.
create table workhorse.history (
    id bigint primary key,
    enqueued_at bigint not null,
    run_at bigint not null,
    started_at bigint,
    finished_at bigint not null,
    worker bigint,
    cancel_at bigint,
    timeout double precision,
    priority integer not null,
    max_attempts integer not null,
    attempt integer not null,
    progress integer,
    failures integer not null,
    crashes smallint not null,
    lost smallint not null,
    solo boolean not null,
    state workhorse.state not null check (state >= 'succeeded'),
    kind text not null,
    queue text not null,
    args text not null,
    backoff text,
    unique_key text,
    message text,
    outcome workhorse.outcome,
    result text,
    error text
);

-- Two, so that the one of nearly all that ends stays narrow.
create index history_age on workhorse.history (finished_at) where state = 'succeeded';
create index history_unsuccessful_age on workhorse.history (state, finished_at) where state <> 'succeeded';
create index history_unsuccessful on workhorse.history (id) where state <> 'succeeded';

-- Attempts that ended without ending their job.
create table workhorse.attempts (
    job_id bigint not null,
    attempt integer not null,
    worker bigint not null,
    started_at bigint not null,
    finished_at bigint not null,
    outcome workhorse.outcome not null,
    error text,
    primary key (job_id, attempt)
);

-- Every attempt, wherever it is kept.
create view workhorse.all_attempts as
select job_id, attempt, worker, started_at, finished_at, outcome, error from workhorse.attempts
union all
select id, attempt, worker, started_at, finished_at, outcome,
       case when state <> 'succeeded' then error end
  from workhorse.history where worker is not null;

-- Which unfinished job waits for which other unfinished job.
create table workhorse.dependencies (
    job_id bigint not null,
    waits_for bigint not null,
    primary key (job_id, waits_for)
);

create index dependencies_of on workhorse.dependencies (waits_for);

-- Which job a client's key has made: kept as long as the job is.
create table workhorse.idempotency_keys (
    key text primary key,
    job_id bigint not null
);

create index idempotency_keys_of on workhorse.idempotency_keys (job_id);

-- Jobs that are gone, of which so much was written down that it does not go at once.
create table workhorse.forgotten (
    job_id bigint primary key
);

create table workhorse.workers (
    id bigint generated always as identity primary key,
    host text not null,
    pid integer not null,
    queues text not null,
    kinds text not null,
    processes integer not null,
    concurrency integer not null,
    state text not null check (state in ('alive', 'draining', 'gone', 'lost')),
    started_at bigint not null,
    renewed_at bigint not null,
    lease_until bigint not null,
    restarts integer not null default 0
) with (fillfactor = 50);

-- By when it was started, the server that ids were last given to workers by.
create table workhorse.server (
    only_row integer primary key check (only_row = 1),
    started_at timestamptz not null
);

insert into workhorse.server values (1, pg_postmaster_start_time());

create table workhorse.paused_queues (
    name text primary key,
    paused_at bigint not null
);

-- The record: one row per edge, and what handlers said. Only ever added to.
create table workhorse.events (
    seq bigint generated always as identity primary key,
    at bigint not null,
    job_id bigint,
    worker bigint,
    attempt integer,
    name workhorse.event_name not null,
    data text
);

create index events_of_job on workhorse.events (job_id) where job_id is not null;
create index events_of_no_job on workhorse.events (at) where job_id is null;

-- blocked → available: jobs whose last dependency is among these, which have succeeded; says how many
-- waits are over, at most so many. A function, because a worker asks after each turn, and nearly always
-- nobody waits: then nothing is planned.
create function workhorse.unblock_after(ended bigint[], most integer) returns integer
    language plpgsql set enable_seqscan = off as $$
declare
    over tid[]; -- rows: where a wait stands is known, it is not looked for by what it waits for again
    fewer bigint[]; -- who waits for fewer jobs than before
    number integer;
begin
    if not exists (select 1 from workhorse.dependencies) then
        return 0;
    end if;
    select array_agg(place), array_agg(job_id) into over, fewer from (
        select ctid as place, job_id from workhorse.dependencies
         where waits_for = any (ended)
           and (select state from workhorse.history where id = waits_for) = 'succeeded'
         limit most) as found;
    if over is null then
        return 0;
    end if;
    -- Locked, so that of two that end at once the later one sees both.
    perform 1 from workhorse.jobs where id = any (fewer) order by id for no key update;
    delete from workhorse.dependencies
     where ctid = any (over) and (waits_for = any (ended)) is true;
    get diagnostics number = row_count;
    -- A statement of its own: it no longer sees what was deleted, so nothing is compared with it. As for
    -- the text and the offset, see `dependencies.sql`.
    with unblocked as (
        update workhorse.jobs set state = 'available', run_at = workhorse.clock()
         where id = any (fewer) and state::text = 'blocked' and run_at <= workhorse.clock()
           and not exists (select 1 from workhorse.dependencies d where d.job_id = jobs.id offset 0)
        returning id, workhorse.ring(queue)
    )
    insert into workhorse.events (at, name, job_id)
    select workhorse.clock(), 'unblock', id from unblocked;
    return number;
end $$;

-- Who waits for jobs that will not succeed, each with what it waits for, at most so many. They are to
-- be cancelled: what holds one is waited for as long as another's turn may take, and no longer, as it
-- may be a caller's transaction that stays open. Those still held then are left out: a sweep finds
-- them.
create function workhorse.lock_waiting(ended bigint[], most integer)
    returns table (job_id bigint, awaited bigint)
    language plpgsql set enable_seqscan = off set lock_timeout = '100ms' as $$
#variable_conflict use_column
declare
    places tid[];
    waiting bigint[];
    locked bigint[];
begin
    select array_agg(place), array_agg(distinct job_id) into places, waiting from (
        select ctid as place, job_id from workhorse.dependencies
         where waits_for = any (ended) limit most) as found;
    locked := array(
        select id from workhorse.jobs where id = any (waiting) order by id for update skip locked);
    -- Entered only then: what may fail in a transaction that goes on costs it something.
    if cardinality(locked) < cardinality(waiting) then
        begin
            perform 1 from workhorse.jobs where id = any (waiting) order by id for update;
            locked := waiting;
        exception when lock_not_available then
            null;
        end;
    end if;
    return query
        select job_id, waits_for from workhorse.dependencies
         where ctid = any (places) and (waits_for = any (ended)) is true
           and (job_id = any (locked)) is true;
end $$;

-- How far back the record may be cut: moved by retention, before it deletes.
create table workhorse.retention (
    only_row integer primary key check (only_row = 1),
    events_before bigint not null
);

insert into workhorse.retention values (1, 0);

create function workhorse.refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'events are append-only: they are never changed';
end $$;

create trigger events_are_never_changed before update on workhorse.events
    for each row execute function workhorse.refuse_change();
create trigger events_are_never_emptied before truncate on workhorse.events
    for each statement execute function workhorse.refuse_change();

-- An event may go only when its job is gone, or, when it has no job, beyond the retention.
create function workhorse.refuse_loss() returns trigger language plpgsql as $$
begin
    if exists (
        select 1 from gone
         where case
               when job_id is null then at >= (select events_before from workhorse.retention)
               else exists (select 1 from workhorse.jobs where id = gone.job_id)
                 or exists (select 1 from workhorse.history where id = gone.job_id)
               end)
    then
        raise exception 'events are append-only: they go with their job, or by retention';
    end if;
    return null;
end $$;

create trigger events_are_kept after delete on workhorse.events
    referencing old table as gone
    for each statement execute function workhorse.refuse_loss();
