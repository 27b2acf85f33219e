"""What a caller was told is on the disk; a bare claim alone may get there later."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from tests.scenarios.facts import eventually
from tests.store.hands import ERROR, OK, Worker, a_job, put, put_many, settled
from workhorse.domain.events import Output, OutputLine
from workhorse.store.sqlite import SqliteStore
from workhorse.store.sqlite.database import Database

FULL, NORMAL = 2, 1


@pytest.fixture
def durable(tmp_path: Path) -> Iterator[SqliteStore]:
    with closing(SqliteStore(tmp_path / "durable.db")) as store:
        yield store


def flushed(database: Database) -> int:
    """Return how the last commit was flushed."""
    assert database._writer is not None
    level: int = database._writer.execute("pragma synchronous").fetchone()[0]
    return level


def test_a_bare_claim_is_flushed_with_what_follows(durable: SqliteStore) -> None:
    """A claim is a lease that may be lost; whatever else is written is flushed, that claim too."""
    put_many(durable, 3)
    worker = Worker(durable)
    assert flushed(durable._db) == FULL
    (first, second, third) = worker.claim()
    assert flushed(durable._db) == NORMAL
    worker.turn([settled(first, OK)])
    assert flushed(durable._db) == FULL
    worker.claim()
    worker.turn([settled(second, ERROR)], claim=worker.request())
    assert flushed(durable._db) == FULL
    worker.claim()
    line = OutputLine(third.id, third.attempt, Output.LOG, '{"message":"m","stream":"log"}')
    worker.turn(output=[line])
    assert flushed(durable._db) == FULL
    worker.claim()
    durable.tidy()
    assert flushed(durable._db) == FULL


def test_what_shares_a_commit_with_a_claim_is_flushed(durable: SqliteStore) -> None:
    """One that must be on the disk takes all others there."""
    put(durable)
    worker = Worker(durable)
    worker.claim()
    database = durable._db
    with ThreadPoolExecutor(3) as pool:
        with database._writes.lock:
            claims = [pool.submit(worker.claim) for _ in range(2)]
            enqueued = pool.submit(durable.enqueue, [a_job()])
            eventually(lambda: len(database._writes._waiting) == 3, what="three writes waiting")
        assert enqueued.result()
        assert [claim.result() is not None for claim in claims] == [True, True]
    assert flushed(database) == FULL


def test_a_normal_store_stays_one(tmp_path: Path) -> None:
    """Where the operating system may flush, it may for all."""
    with closing(SqliteStore(tmp_path / "jobs.db", durability="normal")) as store:
        put(store)
        Worker(store).run(OK)
        assert flushed(store._db) == NORMAL


@pytest.mark.parametrize(("durability", "times"), [("full", 1), ("normal", 0)])
def test_what_is_shown_of_a_claim_is_flushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durability: str, times: int
) -> None:
    """Who follows the record reads on behind what was shown: no power cut may take that back."""
    log = tmp_path / "jobs.db-wal"
    flushed: list[bool] = []
    fsync = os.fsync

    def noted(file: int) -> None:
        flushed.append(os.path.samestat(os.fstat(file), log.stat()))
        fsync(file)

    monkeypatch.setattr(os, "fsync", noted)
    path = tmp_path / "jobs.db"
    with closing(SqliteStore(path, durability=durability)) as one:
        job_id = put(one)
        assert [event.name for event in one.events()] == ["enqueue"]
        assert flushed == []
        Worker(one).take()
        for asked in (None, job_id):
            assert "claim" in [event.name for event in one.events(job_id=asked)]
            assert flushed == [True] * times
            flushed.clear()
