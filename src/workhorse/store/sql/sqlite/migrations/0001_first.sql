-- The first schema. Instants are milliseconds since 1970 UTC; timeout is in seconds.
--
-- A CHECK names the frequent values first, in pairs: SQLite compares up to two values directly, but
-- builds a table for a longer list, for each row it checks (measured: 3 µs a row, ten times the insert).

-- Unfinished jobs only: what is claimed stays small whatever the past holds.
create table jobs (
    id integer primary key autoincrement,
    kind text not null,
    queue text not null,
    state text not null check (state in ('available', 'running') or state in ('scheduled', 'blocked')),
    priority integer not null,
    solo integer not null default 0,
    args text not null,
    attempt integer not null default 0,
    failures integer not null default 0,
    crashes integer not null default 0,
    lost integer not null default 0,
    max_attempts integer not null check (max_attempts > 0),
    timeout real,
    backoff text,
    enqueued_at integer not null,
    run_at integer not null,
    started_at integer,
    worker integer,
    child integer,
    unique_key text,
    cancel_at integer,
    cancel_reason text,
    progress integer,
    message text,
    outcome text check (
        outcome in ('ok', 'error')
        or outcome in ('rejected', 'timed_out', 'out_of_memory', 'crashed', 'lost', 'cancelled',
                       'expired', 'released', 'snoozed')),
    error text,
    check ((state = 'running') = (worker is not null))
) strict;

-- What is next? One seek, then only rows that may be claimed, in the order they are claimed.
create index jobs_next on jobs (queue, solo, priority desc, id, kind) where state = 'available';
create index jobs_due on jobs (run_at) where state = 'scheduled';
create index jobs_blocked on jobs (run_at) where state = 'blocked';
create index jobs_blocked_until on jobs (run_at) where state = 'blocked' and run_at > enqueued_at;
create index jobs_held on jobs (worker) where worker is not null;
create index jobs_solo on jobs (state) where solo = 1;
create index jobs_told_to_end on jobs (worker) where cancel_at is not null;
create unique index jobs_unique on jobs (unique_key) where unique_key is not null;

-- Finished jobs. `worker` is set when an attempt ended the job: that attempt has no row in
-- `attempts`, it is the one told here.
create table history (
    id integer primary key,
    kind text not null,
    queue text not null,
    state text not null check (state = 'succeeded' or state in ('failed', 'cancelled')),
    priority integer not null,
    solo integer not null,
    args text not null,
    attempt integer not null,
    failures integer not null,
    crashes integer not null,
    lost integer not null,
    max_attempts integer not null,
    timeout real,
    backoff text,
    enqueued_at integer not null,
    run_at integer not null,
    started_at integer,
    finished_at integer not null,
    worker integer,
    unique_key text,
    cancel_at integer,
    progress integer,
    message text,
    outcome text check (
        outcome in ('ok', 'error')
        or outcome in ('rejected', 'timed_out', 'out_of_memory', 'crashed', 'lost', 'cancelled',
                       'expired', 'released', 'snoozed')),
    result text,
    error text
) strict;

create index history_age on history (state, finished_at);
create index history_unsuccessful on history (id) where state <> 'succeeded';

-- Attempts that ended without ending their job.
create table attempts (
    job_id integer not null,
    attempt integer not null,
    worker integer not null,
    started_at integer not null,
    finished_at integer not null,
    outcome text not null check (
        outcome in ('ok', 'error')
        or outcome in ('rejected', 'timed_out', 'out_of_memory', 'crashed', 'lost', 'cancelled',
                       'expired', 'released', 'snoozed')),
    error text,
    primary key (job_id, attempt)
) strict, without rowid;

-- Every attempt, wherever it is kept.
create view all_attempts as
select job_id, attempt, worker, started_at, finished_at, outcome, error from attempts
union all
select id, attempt, worker, started_at, finished_at, outcome,
       case when state <> 'succeeded' then error end
  from history where worker is not null;

-- Which unfinished job waits for which other unfinished job.
create table dependencies (
    job_id integer not null,
    waits_for integer not null,
    primary key (job_id, waits_for)
) strict, without rowid;

create index dependencies_of on dependencies (waits_for);

-- Which job a client's key has made: kept as long as the job is.
create table idempotency_keys (
    key text primary key,
    job_id integer not null
) strict, without rowid;

create index idempotency_keys_of on idempotency_keys (job_id);

-- Jobs that are gone, of which so much was written down that it does not go at once.
create table forgotten (
    job_id integer primary key
) strict;

create table workers (
    id integer primary key autoincrement,
    host text not null,
    pid integer not null,
    queues text not null,
    kinds text not null,
    processes integer not null,
    concurrency integer not null,
    state text not null check (state in ('alive', 'draining', 'gone', 'lost')),
    started_at integer not null,
    renewed_at integer not null,
    lease_until integer not null,
    restarts integer not null default 0
) strict;

create index workers_living on workers (lease_until) where state in ('alive', 'draining');

create table paused_queues (
    name text primary key,
    paused_at integer not null
) strict, without rowid;

-- The record: one row per edge, and what handlers said. Only ever added to.
create table events (
    seq integer primary key autoincrement,
    at integer not null,
    name text not null check (
        name in ('enqueue', 'claim')
        or name in ('complete', 'log')
        or name in ('promote', 'unblock', 'retry', 'snooze', 'release', 'fail', 'cancel', 'rescue',
                    'requeue', 'progress', 'worker_started', 'worker_draining', 'worker_stopped',
                    'worker_lost', 'child_died', 'queue_paused', 'queue_resumed', 'job_deleted')),
    job_id integer,
    attempt integer,
    worker integer,
    data text
) strict;

create index events_of_job on events (job_id) where job_id is not null;
create index events_of_no_job on events (at) where job_id is null;

-- How far back the record may be cut: moved by retention, before it deletes.
create table retention (
    only_row integer primary key check (only_row = 1),
    events_before integer not null
) strict;

insert into retention values (1, 0);

create trigger events_are_never_changed before update on events
begin
    select raise(abort, 'events are append-only: they are never changed');
end;

-- An event may go only when its job is gone, or, when it has no job, beyond the retention.
create trigger events_are_kept before delete on events
when case
    when old.job_id is null then old.at >= (select events_before from retention)
    else exists (select 1 from jobs where id = old.job_id)
      or exists (select 1 from history where id = old.job_id)
end
begin
    select raise(abort, 'events are append-only: they go with their job, or by retention');
end;
