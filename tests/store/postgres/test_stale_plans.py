"""A statement that is given ids reads those jobs, whatever old statistics say of the rest.

What the planner believes not to be there costs it nothing to read: a partial index of a state that
no job was in when statistics were made looks cheaper than to look a job up.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from typing import Any, LiteralString

import psycopg
import pytest

from tests.services.fixtures import TEMPLATE
from tests.services.postgres import Cluster, Database
from tests.store.hands import Worker
from workhorse.domain.job import UNFINISHED, State
from workhorse.store.opening import open_store
from workhorse.store.protocol import TURN_BYTES
from workhorse.store.statements import statements

SQL = statements("postgres")
BEFORE = 20_000
"""Jobs of which the statistics tell: all in one state."""
SINCE = 20_000
"""Jobs that have come since then, all in another."""
GIVEN = 50
"""Jobs that a statement is given the ids of."""
MOST = 20 * GIVEN
"""Rows that it may read."""
FILL = """
insert into workhorse.jobs (kind, queue, state, priority, args, max_attempts, enqueued_at, run_at,
                            worker, attempt)
select 'work', 'default', %s::workhorse.state, 0, '{}', 5, 0, %s,
       case when %s = 'running' then 1 end, 1
  from generate_series(1, %s)
"""
REST = """
insert into workhorse.dependencies
select id, id + 1000000 from workhorse.jobs where state = 'blocked';
insert into workhorse.history (
       id, kind, queue, state, priority, solo, args, attempt, failures, crashes, lost, max_attempts,
       enqueued_at, run_at, finished_at)
select id + 1000000, 'work', 'default', 'succeeded', 0, false, '{}', 1, 0, 0, 0, 5, 0, 0, 0
  from workhorse.jobs;
insert into workhorse.attempts (job_id, attempt, worker, started_at, finished_at, outcome)
select id, 1, 1, 0, 0, 'ok' from workhorse.history;
insert into workhorse.idempotency_keys select id::text, id from workhorse.history
"""
GROWING: tuple[LiteralString, ...] = (
    "jobs", "history", "attempts", "dependencies", "idempotency_keys",
)  # fmt: skip
FAR = 2**60

given = list(range(BEFORE + 1, BEFORE + GIVEN + 1))
ended = [id + 1_000_000 for id in given]
of_ended = {"ids": json.dumps(ended)}
ids = {"ids": json.dumps(given)}
array = {"ids": given}
first = {"id": given[0]}
attempts = {"attempts": [1] * GIVEN}
TAKES_IDS: dict[str, dict[str, Any]] = {
    "claim.claim": {
        "worker": 1, "child": 1, "queues": ["default"], "kinds": ["work"], "solo": False,
        "ranks": [-9], "after": [0], "limit": GIVEN, "bytes": TURN_BYTES,
    },
    "claim.claim_one": first | {"worker": 1},
    "dependencies.unblock_after": {"ids": ended, "limit": 2 * GIVEN},
    "dependencies.waiting": of_ended | {"limit": 2 * GIVEN},
    "dependencies.satisfy": of_ended,
    "dependencies.ready": ids,
    "dependencies.forget_time": ids,
    "dependencies.unblock": ids,
    "dependencies.forget": ids,
    "jobs.lock": first,
    "jobs.cancellable": ids,
    "jobs.cancel": {"rows": json.dumps([[id, "why"] for id in given])},
    "jobs.drop_cancelled": ids,
    "jobs.ask_to_end": first | {"reason": "why"},
    "jobs.promote": ids,
    "settle.complete": array | attempts | {"worker": 1, "results": []},
    "settle.others": {
        "worker": 1,
        "rows": json.dumps([
            {"id": id, "attempt": 1, "verb": "fail", "state": "failed", "outcome": "error",
             "failures": 1, "crashes": 0, "lost": 0, "solo": False}
            for id in given
        ]),
    },
    "jobs.requeue": {"id": ended[0]},
    "jobs.keep_last_attempt": {"id": ended[0]},
    "jobs.drop_finished": {"id": ended[0]},
    "keys.drop": of_ended,
    "keys.made": {"keys": [str(id) for id in ended]},
    "retention.weights": {"state": "succeeded", "since": 0, "until": 1, "limit": GIVEN},
    "retention.drop_jobs": of_ended,
    "retention.drop_attempts": of_ended,
    "settle.recorded": {"id": ended[0], "attempt": 1, "worker": 1, "outcome": "ok"},
    "settle.free": array | {"ending": given[: GIVEN // 2]},
    "settle.output_event": {
        "worker": 1, "lines": json.dumps([[id, 1, "log", "{}"] for id in given]),
    },
    "settle.progress": {
        "worker": 1, "rows": json.dumps([[id, 1, '{"percent": 1}'] for id in given]),
    },
}  # fmt: skip


@pytest.fixture(params=sorted(UNFINISHED))
def outdated(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[Database]:
    """A store in which many jobs are in a state that no job was in, by the statistics."""
    state: State = request.param
    name = f"outdated_{state}"
    if not cluster.has_database(name):
        template = cluster.create_database(name, template=TEMPLATE)
        with closing(open_store(template.url)) as store:
            assert Worker(store).id == 1
        for table in GROWING:
            template.sql(f"alter table workhorse.{table} set (autovacuum_enabled = off)")
        other = State.SCHEDULED if state is not State.SCHEDULED else State.BLOCKED
        template.sql(FILL, other, FAR, other, BEFORE)
        template.sql("vacuum analyze")
        template.sql(FILL, state, 0, state, SINCE)
        template.sql(REST)
    database = cluster.create_database(template=name)
    yield database
    cluster.drop_database(database.name)


def read(connection: psycopg.Connection) -> Counter[str]:
    """Return how many rows of each table this connection has read."""
    found = connection.execute(
        "select relname, seq_tup_read + coalesce(idx_tup_fetch, 0) from pg_stat_xact_user_tables"
    )
    return Counter(dict(found.fetchall()))


@pytest.mark.parametrize("plans", ["force_custom_plan", "force_generic_plan"])
def test_it_reads_what_it_is_given(outdated: Database, plans: str) -> None:
    too_much = {}
    with psycopg.connect(outdated.url) as connection:
        connection.execute(f"set plan_cache_mode = {plans}")
        connection.commit()
        for statement, parameters in TAKES_IDS.items():
            before = read(connection)
            connection.execute(SQL[statement].encode(), parameters, prepare=True)
            most = (read(connection) - before).most_common(1)
            connection.rollback()
            if most and most[0][1] > MOST:
                too_much[statement] = most[0]
    assert too_much == {}
