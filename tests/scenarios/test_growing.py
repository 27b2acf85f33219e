"""A queue outgrows its file: `workhorse copy` moves it to PostgreSQL, where a worker goes on."""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from tests.cli.processes import WORKHORSE, running, workhorse
from tests.scenarios.facts import eventually
from tests.services.fixtures import TEMPLATE, Clusters
from tests.services.postgres import Database
from workhorse.domain.job import State
from workhorse.store.opening import open_store

SOURCE: Final = "sqlite:///jobs.db"
JOBS: Final = {
    State.SUCCEEDED: 70_000,
    State.FAILED: 10_000,
    State.CANCELLED: 5_000,
    State.SCHEDULED: 5_000,
    State.BLOCKED: 2_000,
    State.AVAILABLE: 7_900,
    State.RUNNING: 100,
}
APP: Final = """
from workhorse import Workhorse

app = Workhorse()


@app.job
def work() -> None:
    pass
"""
FILL: Final = """
    begin;
    insert into workers (id, host, pid, queues, kinds, processes, concurrency, state, started_at,
                         renewed_at, lease_until)
    values (3, 'elsewhere', 1, '["default"]', '["work"]', 1, 10, 'alive', 1, 1, 1);
    create temp table given as
    with recursive numbers(n) as (select 1 union all select n + 1 from numbers where n < 100000)
    select n as id, 1000 * strftime('%s') - 100000 + n as at,
           case when n <= 70000 then 'succeeded' when n <= 80000 then 'failed'
                when n <= 85000 then 'cancelled' when n <= 90000 then 'scheduled'
                when n <= 97900 then 'available' when n <= 99900 then 'blocked'
                else 'running' end as state
      from numbers;
    insert into history (id, kind, queue, state, priority, solo, args, attempt, failures, crashes,
                         lost, max_attempts, enqueued_at, run_at, started_at, finished_at, worker,
                         outcome, error)
    select id, 'work', 'default', state, 0, 0, '{}', iif(state = 'failed', 3, 1), 0, 0,
           0, 3, at, at, at + 1, at + 2, 3,
           case state when 'succeeded' then 'ok' when 'failed' then 'error' else 'cancelled' end,
           iif(state = 'failed', '{"type":"ValueError","message":"it went wrong"}', null)
      from given where state in ('succeeded', 'failed', 'cancelled');
    insert into attempts
    select id, n, 3, 1, 2, 'error', '{"type":"ValueError","message":"it went wrong"}'
      from given join (select 1 as n union all select 2) where state = 'failed';
    insert into jobs (id, kind, queue, state, priority, args, attempt, max_attempts, enqueued_at,
                      run_at, started_at, worker, child, unique_key)
    select id, 'work', 'default', state, id % 3, '{}', iif(state = 'running', 1, 0), 5, at,
           iif(state = 'scheduled', 2 * at, at), iif(state = 'running', at, null),
           iif(state = 'running', 3, null), iif(state = 'running', 1, null),
           iif(state = 'scheduled', 'key ' || id, null)
      from given where state not in ('succeeded', 'failed', 'cancelled');
    insert into dependencies select id, id - 3000 from given where state = 'blocked';
    insert into idempotency_keys select 'key ' || id, id from given where id % 10 = 0;
    insert into events (at, name, job_id) select 1, 'enqueue', id from given;
    insert into events (at, name, job_id, attempt, worker)
    select 2, 'claim', id, 1, 3 from given where state in ('succeeded', 'failed', 'running');
    insert into events (at, name, job_id, attempt, worker, data)
    select 3, iif(state = 'succeeded', 'complete', 'fail'), id, 1, 3, '{"outcome":"error"}'
      from given where state in ('succeeded', 'failed');
    insert into events (at, name, job_id)
    select 3, 'cancel', id from given where state = 'cancelled';
    commit;
"""


@pytest.fixture
def database(clusters: Clusters) -> Iterator[Database]:
    """An empty store on PostgreSQL."""
    database = clusters["18"].create_database(template=TEMPLATE)
    yield database
    database.cluster.drop_database(database.name)


@pytest.mark.needs("pg18")
def test_a_hundred_thousand_jobs_move_to_postgresql(workdir: Path, database: Database) -> None:
    """In every state, with all that happened to them: the counts and the events agree.

    A copy that is killed amid its work leaves nothing behind, and is done again. Then a worker runs
    what is left to run: what waited, what was blocked, and what a dead worker had.
    """
    (workdir / "app.py").write_text(APP)
    open_store(SOURCE).close()
    with closing(sqlite3.connect("jobs.db", isolation_level=None)) as raw:
        raw.executescript(FILL)
        events = dict(raw.execute("select name, count(*) from events group by name").fetchall())
    words = ("copy", SOURCE, database.url)

    with subprocess.Popen([*WORKHORSE, *words], cwd=workdir) as victim:
        eventually(lambda: is_locked(database), within=30)
        victim.kill()
    eventually(lambda: not is_locked(database), within=30)
    assert database.sql("select count(*) from workhorse.jobs") == [(0,)]

    ran = workhorse(*words, "-o", "jsonl", folder=workdir)
    assert ran.code == 0, ran.err
    copied = {row["name"]: row["copied"] for row in ran.jsonl}
    assert copied.items() >= {state.value: number for state, number in JOBS.items()}.items()
    assert (copied["attempts"], copied["events"]) == (20_000, sum(events.values()))
    found = database.sql("select name::text, count(*) from workhorse.events group by name")
    assert dict(found) == events
    with closing(open_store(database.url)) as store:
        assert store.counts() == JOBS
        place = {"WORKHORSE_APP": "app:app", "WORKHORSE_DATABASE_URL": database.url}
        with running("worker", folder=workdir, **place, WORKHORSE_LOG_LEVEL="warning"):
            eventually(lambda: store.counts()[State.SUCCEEDED] == 80_000, within=60, every=0.3)
        counts = store.counts()
    assert counts == JOBS | {
        State.SUCCEEDED: 80_000,
        **dict.fromkeys((State.AVAILABLE, State.RUNNING, State.BLOCKED), 0),
    }
    rescued = database.sql("select count(*) from workhorse.events where name = 'rescue'")
    assert rescued == [(JOBS[State.RUNNING],)]


def is_locked(database: Database) -> bool:
    """Whether somebody has the store of a database alone."""
    held = database.sql(
        """
        select 1 from pg_locks where relation = 'workhorse.events'::regclass
            and mode = 'ShareRowExclusiveLock' and granted
        """
    )
    return bool(held)
