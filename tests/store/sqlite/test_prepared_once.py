"""A statement of the hot path is planned once, and then only run."""

from __future__ import annotations

import sqlite3

import pytest

from tests.store.hands import OK, Worker, put
from workhorse.domain.outcome import Completed
from workhorse.store.protocol import Store
from workhorse.store.sqlite import SqliteStore


def test_a_statement_is_planned_once(store: Store) -> None:
    """Enqueue, claim and settle never have SQLite look at a bound value and plan anew."""
    assert isinstance(store, SqliteStore)
    worker = Worker(store)
    for number in range(20):
        put(store)
        put(store, unique=str(number))
        for job, outcome in zip(worker.claim(), (OK, Completed('"done"')), strict=True):
            worker.settle(job, outcome)
    assert store._db._writer is not None
    look = "select sql, reprep from sqlite_stmt where run >= 20"
    try:
        found = dict(store._db._writer.execute(look))
    except sqlite3.OperationalError:
        pytest.skip("this SQLite does not tell of its statements (SQLITE_ENABLE_STMTVTAB)")
    assert any("update jobs" in sql for sql in found)
    assert {sql: times for sql, times in found.items() if times > 1} == {}
