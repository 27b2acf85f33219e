"""The hot path reads the jobs it is about, and never all there are, whatever has been counted."""

from __future__ import annotations

import re
import sqlite3
from typing import Final

import pytest

from tests.store.hands import put_many
from workhorse.domain.job import State
from workhorse.store.protocol import JobFilter, Store
from workhorse.store.rows import LAST_ID
from workhorse.store.sqlite import SqliteStore
from workhorse.store.statements import statements
from workhorse.store.verbs.client import selection

SQL: Final = statements("sqlite")
HOT: Final = [
    *(name for name in SQL if re.match(r"(claim|settle)\.(?!create)", name)),
    "events.add",
    "events.enqueued_one",
    "jobs.enqueue",
    "jobs.enqueue_one",
]
WHOLE: Final = re.compile(r"SCAN (jobs|j|history|events|attempts)$")
"""A table read from end to end, not by an index that holds no more than is wanted."""


PAST: Final = 20_000
FILL: Final = f"""
insert into history (id, kind, queue, state, priority, solo, args, attempt, failures, crashes, lost,
                     max_attempts, enqueued_at, run_at, finished_at)
  with recursive numbers (n) as (select 1 union all select n + 1 from numbers where n < {PAST})
select n, 'work', 'default', iif(n <= 30, 'failed', 'succeeded'), 0, 0, '[]', 1, 0, 0, 0, 5, 0, 0, 0
  from numbers
"""


@pytest.mark.parametrize(
    "states",
    [
        [],
        [State.AVAILABLE],
        [State.RUNNING],
        [State.SUCCEEDED],
        [State.FAILED, State.CANCELLED],
        [State.RUNNING, State.FAILED],
    ],
)
def test_a_list_is_read_from_where_its_states_are(
    store: Store, raw: sqlite3.Connection, states: list[State]
) -> None:
    """A page of it takes less than one step for each finished job."""
    raw.execute(FILL)
    raw.execute("update sqlite_sequence set seq = ? where name = 'jobs'", [PAST])
    put_many(store, 60)
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 100

    raw.set_progress_handler(count, 100)
    asked = {**selection(JobFilter(states=states)), "limit": 50, "before": LAST_ID}
    assert len(raw.execute(SQL["jobs.list"], asked).fetchall()) in {0, 30, 50}
    assert steps < PAST


def test_a_look_over_reads_no_job(store: Store) -> None:
    """It is made every few seconds, however many there are."""
    assert isinstance(store, SqliteStore)
    store.health()
    asked: list[str] = []
    for reader in store._db._readers:
        reader.set_trace_callback(asked.append)
    store.health()
    assert asked
    assert [sql for sql in asked if re.search("from (jobs|history)", sql)] == []


@pytest.mark.parametrize("name", HOT)
def test_no_table_is_read_whole(store: Store, name: str) -> None:
    """With a thousand jobs waiting and the planner's numbers fresh."""
    assert isinstance(store, SqliteStore)
    put_many(store, 1000)
    writer = store._db._writer
    assert writer is not None
    writer.execute("analyze")
    parameters = dict.fromkeys(re.findall(r":(\w+)", SQL[name]), "[1]")
    plan = [step for *_, step in writer.execute(f"explain query plan {SQL[name]}", parameters)]
    assert not [step for step in plan if WHOLE.match(step)], plan
