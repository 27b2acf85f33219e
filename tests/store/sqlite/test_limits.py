"""Masses of large jobs: SQLite's texts end at 10^9 bytes, and no number of jobs meets that end.

Both are taken a thousand times smaller here: payloads of a kilobyte, texts of a megabyte.
"""

from __future__ import annotations

import json
import sqlite3

import pytest

from tests.store.hands import Worker, a_job, settled, the
from workhorse.domain.job import State
from workhorse.domain.outcome import Completed
from workhorse.store.protocol import Store
from workhorse.store.sqlite import SqliteStore

NUMBER = 1000
PAYLOAD = json.dumps('"' * 511)
"""A kilobyte that takes two when it travels within a text."""


@pytest.fixture
def small(store: Store) -> Store:
    """The store, on an SQLite whose limit is a thousandth of the usual."""
    assert isinstance(store, SqliteStore)
    store.health()
    for connection in (store._db._writer, *store._db._readers):
        assert connection is not None
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 1_000_000)
    return store


def test_the_limit_would_be_met(small: Store) -> None:
    """All of them in one text would be too much: else this page proves nothing."""
    text = json.dumps([PAYLOAD] * NUMBER)
    assert 1_000_000 < len(text) < 10_000_000


def test_a_mass_is_enqueued_claimed_and_ended(small: Store) -> None:
    """In one call each, whatever they hold together."""
    ids = [answer.id for answer in small.enqueue([a_job(args=PAYLOAD)] * NUMBER)]
    worker = Worker(small)
    claimed = worker.claim(NUMBER)
    assert [job.id for job in claimed] == ids
    assert {job.args for job in claimed} == {PAYLOAD}
    assert worker.turn([settled(job, Completed(PAYLOAD)) for job in claimed]).stale == []
    assert small.counts()[State.SUCCEEDED] == NUMBER
    assert the(small, ids[-1]).result == PAYLOAD


def test_a_mass_is_rescued(small: Store) -> None:
    """A worker that held very much at its death does not keep it."""
    small.enqueue([a_job(args=PAYLOAD)] * NUMBER)
    worker = Worker(small)
    worker.claim(NUMBER)
    assert len(small.held(worker.id)) == NUMBER
    assert small.rescue(worker.id, reason="gone", expired_only=False) == NUMBER
    assert small.held(worker.id) == []
