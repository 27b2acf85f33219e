"""The write-ahead log stays small, and no reader of ours keeps it from being cut."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from itertools import cycle
from pathlib import Path

import pytest

from tests.store.backends import LOG_BOUND
from tests.store.hands import Worker, a_job, put, settled
from workhorse.domain.outcome import Completed
from workhorse.store.protocol import JobFilter, Store
from workhorse.store.sqlite import SqliteStore
from workhorse.store.sqlite import log as write_ahead
from workhorse.store.sqlite.log import LOG_LIMIT, LOG_LONG

PART = json.dumps("x" * 1_000_000)


@pytest.fixture
def log(path: Path) -> Path:
    return path.with_name("jobs.db-wal")


def write(store: Store, mebibytes: int) -> None:
    """Write about so much, in transactions of one."""
    for _ in range(mebibytes):
        store.enqueue([a_job(args=PART)])


@contextmanager
def reading_in_turns(path: Path, *, seconds: float) -> Iterator[None]:
    """Read from the file all the time: each reader ends only when the next has begun."""
    stop = threading.Event()

    def read() -> None:
        with closing(sqlite3.connect(path)) as one, closing(sqlite3.connect(path)) as other:
            for reader, last in cycle([(one, other), (other, one)]):
                reader.execute("begin")
                reader.execute("select count(*) from jobs").fetchone()
                last.rollback()
                if stop.wait(seconds):
                    return

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(read)
        try:
            yield
        finally:
            stop.set()
            done.result(60)


def test_the_log_stays_bounded(store: Store, log: Path) -> None:
    """However much is written, the log does not grow with it."""
    largest = 0
    for _ in range(20):
        write(store, 4)
        largest = max(largest, log.stat().st_size)
    assert 0 < largest <= LOG_LIMIT + 10_000_000


def test_a_read_leaves_no_snapshot_open(store: Store, log: Path) -> None:
    """Looking at everything, in the middle of writing, does not keep the log."""
    for _ in range(10):
        write(store, 5)
        store.list_jobs(JobFilter(), limit=5), store.events(limit=5), store.health()
    assert log.stat().st_size <= LOG_LIMIT + 10_000_000
    store.tidy()
    assert log.stat().st_size == 0


def test_a_long_log_is_cut_when_its_reader_has_gone(
    store: Store, log: Path, raw: sqlite3.Connection
) -> None:
    """Another program's open transaction makes the log long, which is told; then it is cut."""
    raw.execute("begin")
    raw.execute("select count(*) from jobs").fetchone()
    write(store, 40)
    assert 2 * LOG_LIMIT < log.stat().st_size < LOG_BOUND
    assert any("log" in text for level, text in store.health().findings if level == "warn")
    raw.execute("rollback")
    put(store)
    assert log.stat().st_size == 0
    assert not any("log" in text for _, text in store.health().findings)


def test_readers_that_take_turns_do_not_keep_the_log(store: Store, path: Path, log: Path) -> None:
    """There is always one who reads, each for a moment: a long log waits for those, and is cut."""
    with reading_in_turns(path, seconds=0.2):
        for _ in range(40):
            write(store, 5)
            assert log.stat().st_size < LOG_BOUND


def test_a_reader_that_stays_is_waited_for_once(
    store: Store, other: Store, raw: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever writes, and however often: not before the log has grown by as much again."""
    monkeypatch.setattr(write_ahead, "READER_PATIENCE", 1.0)
    raw.execute("begin")
    raw.execute("select count(*) from jobs").fetchone()
    write(store, LOG_LONG // 1_000_000)
    start = time.monotonic()
    for _ in range(5):
        write(store, 1)
        write(other, 1)
    assert time.monotonic() - start < 1.9


def test_a_large_turn_comes_through(store: Store, log: Path) -> None:
    """Results larger than the log may grow, in one transaction, are written and cut again."""
    store.enqueue([a_job()] * 30)
    worker = Worker(store)
    turn = worker.turn([settled(job, Completed(PART)) for job in worker.claim()])
    assert turn.stale == []
    put(store)
    assert log.stat().st_size <= LOG_LIMIT
    assert isinstance(store, SqliteStore)
    assert store._db.size() > 30_000_000
