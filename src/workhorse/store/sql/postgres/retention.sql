-- name: older
-- Finished jobs of one state that ended longer ago than an age (ms), the oldest first. Twice, for there
-- are two indexes, and a plan that is kept for any state uses neither.
select array_to_json(case %(state)s::workhorse.state when 'succeeded' then array(
           select id from workhorse.history
            where state = 'succeeded' and finished_at < workhorse.clock() - %(age)s
            order by finished_at limit %(limit)s
              for update skip locked)
       else array(
           select id from workhorse.history
            where state <> 'succeeded' and state = %(state)s::workhorse.state
              and finished_at < workhorse.clock() - %(age)s
            order by finished_at limit %(limit)s
              for update skip locked)
       end)::text;

-- name: one_too_many
-- Whose event it is that is one too many, when the events of these jobs are counted in their order:
-- no more than so many are read, however many there are.
select id
  from (select value::bigint as id from json_array_elements_text(%(ids)s::json)) as chosen
       cross join lateral (select 1 from workhorse.events where job_id = chosen.id offset 0) as its
 limit 1 offset %(most)s;

-- name: count
-- How many finished jobs are kept.
select count(*) from workhorse.history;

-- part: weight
-- How many bytes a finished job holds, with its attempts and events: their texts, and about as much as
-- a row takes.
       200 + octet_length(args) + coalesce(octet_length(result), 0) + coalesce(octet_length(error), 0)
           + coalesce((select sum(100 + coalesce(octet_length(attempts.error), 0))
                         from workhorse.attempts where job_id = history.id), 0)
           + coalesce((select sum(100 + coalesce(octet_length(data), 0))
                         from workhorse.events where job_id = history.id), 0)

-- name: weights
-- When the first jobs of one state ended that did so since an instant, and what each holds, in the
-- order of their ends.
select coalesce(json_agg(json_build_array(finished_at, {weight}) order by finished_at), '[]')::text
  from unnest(case %(state)s::workhorse.state when 'succeeded' then array(
           select id from workhorse.history
            where state = 'succeeded'
              and finished_at >= %(since)s and finished_at < %(until)s
            order by finished_at limit %(limit)s)
       else array(
           select id from workhorse.history
            where state <> 'succeeded' and state = %(state)s::workhorse.state
              and finished_at >= %(since)s and finished_at < %(until)s
            order by finished_at limit %(limit)s)
       end) as chosen
  join workhorse.history on id = chosen;

-- name: weights_of
-- What each of these finished jobs holds.
select coalesce(json_agg({weight} order by place), '[]')::text
  from json_array_elements_text(%(ids)s::json) with ordinality as chosen(chosen, place)
  join workhorse.history on id = chosen::bigint;

-- name: counts
-- How many jobs ended in each of these states and spans of time, and when, added up. Twice, too.
select coalesce(json_agg(case span ->> 0 when 'succeeded' then (
           select json_build_array(count(*), coalesce(sum(finished_at & 4294967295), 0))
             from workhorse.history
            where state = 'succeeded'
              and finished_at >= (span ->> 1)::bigint and finished_at < (span ->> 2)::bigint)
       else (
           select json_build_array(count(*), coalesce(sum(finished_at & 4294967295), 0))
             from workhorse.history
            where state <> 'succeeded' and state = (span ->> 0)::workhorse.state
              and finished_at >= (span ->> 1)::bigint and finished_at < (span ->> 2)::bigint)
       end order by place), '[]')::text
  from json_array_elements(%(spans)s::json) with ordinality as asked(span, place);

-- name: alone
-- Nobody else prunes by size until this transaction ends.
select 1 from workhorse.retention for update;

-- name: drop_jobs
-- Finished jobs go …
delete from workhorse.history
 where id = any (array(select value::bigint from json_array_elements_text(%(ids)s::json)));

-- name: drop_attempts
-- … with their attempts …
delete from workhorse.attempts
 where job_id = any (array(select value::bigint from json_array_elements_text(%(ids)s::json)));

-- name: drop_events
-- … and their events.
delete from workhorse.events
 where job_id = any (array(select value::bigint from json_array_elements_text(%(ids)s::json)));

-- name: forget
-- The attempts and events of a job that is gone are to go bit by bit.
insert into workhorse.forgotten (job_id) values (%(id)s);

-- name: forgotten
-- One such job.
select job_id from workhorse.forgotten limit 1 for update skip locked;

-- name: drop_some_events
-- Some of what happened to it …
delete from workhorse.events where seq = any (array(
    select seq from workhorse.events where job_id = %(id)s limit %(limit)s));

-- name: drop_some_attempts
-- … some of its attempts …
delete from workhorse.attempts where job_id = %(id)s and attempt = any (array(
    select attempt from workhorse.attempts where job_id = %(id)s limit %(limit)s));

-- name: drop_forgotten
-- … and nothing is left.
delete from workhorse.forgotten where job_id = %(id)s;

-- name: move_horizon
-- Events of no job may go when they are older than this.
update workhorse.retention set events_before = workhorse.clock() - %(age)s
 where events_before < workhorse.clock() - %(age)s;

-- name: drop_old_events
-- Events of workers and queues beyond the horizon.
delete from workhorse.events where seq in
    (select seq from workhorse.events
      where job_id is null and at < (select events_before from workhorse.retention)
      limit %(limit)s);

-- name: drop_old_workers
-- Workers long gone, but for one that still holds a job: who gives that back asks how it went.
delete from workhorse.workers
 where state in ('gone', 'lost') and renewed_at < workhorse.clock() - %(age)s
   and not exists (select 1 from workhorse.jobs where jobs.worker = workers.id);
