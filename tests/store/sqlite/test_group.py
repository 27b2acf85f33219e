"""Writes of threads that wait at the same time share one transaction; none harms another."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from tests.scenarios.facts import eventually
from tests.store.hands import NOBODY, a_job, put
from workhorse.domain.errors import InvalidJob, NotFound, Unavailable
from workhorse.domain.job import Enqueued, NewJob
from workhorse.store.protocol import JobFilter, Store
from workhorse.store.sqlite import SqliteStore, group
from workhorse.store.sqlite.database import Database
from workhorse.store.sqlite.group import GROUP_LIMIT
from workhorse.store.sqlite.transaction import SqliteTransaction


@pytest.fixture
def database(store: Store) -> Database:
    assert isinstance(store, SqliteStore)
    return store._db


@contextmanager
def gathered(database: Database, number: int) -> Iterator[Callable[[], None]]:
    """Keep the turn to write until `number` writes wait for it; give a function to wait so."""
    with database._writes.lock:

        def all_there() -> None:
            eventually(
                lambda: len(database._writes._waiting) == number, what=f"{number} writes waiting"
            )

        yield all_there


def together(store: Store, jobs: list[NewJob]) -> list[Future[list[Enqueued]]]:
    """Enqueue each of `jobs` from a thread of its own, all at once."""
    assert isinstance(store, SqliteStore)
    with ThreadPoolExecutor(len(jobs)) as pool:
        with gathered(store._db, len(jobs)) as all_there:
            futures = [pool.submit(store.enqueue, [job]) for job in jobs]
            all_there()
        return futures


def commits(database: Database) -> list[str]:
    """Return a list that grows with each transaction of the writer."""
    seen: list[str] = []
    assert database._writer is not None
    database._writer.set_trace_callback(lambda sql: seen.append(sql) if sql == "commit" else None)
    return seen


def test_writes_that_wait_share_a_transaction(store: Store, database: Database) -> None:
    """Twenty threads, one commit; each gets its own answer."""
    seen = commits(database)
    futures = together(store, [a_job(args=str(number)) for number in range(20)])
    assert seen == ["commit"]
    answers = [future.result()[0].id for future in futures]
    assert sorted(answers) == sorted(job.id for job in store.list_jobs(JobFilter(), limit=50))
    for number, job_id in enumerate(answers):
        job = store.get(job_id)
        assert job is not None
        assert job.args == str(number)


@pytest.mark.parametrize(
    ("bad", "error"),
    [(a_job(after=[NOBODY]), NotFound), (a_job(max_attempts=0), InvalidJob)],
    ids=["refused by us", "refused by SQLite"],
)
def test_a_failing_write_harms_no_neighbour(
    store: Store, database: Database, bad: NewJob, error: type[Exception]
) -> None:
    """It gets its own error; what the others asked for is done, once."""
    seen = commits(database)
    futures = together(store, [bad if number % 5 == 2 else a_job() for number in range(20)])
    failed = [future for future in futures if future.exception()]
    assert [type(future.exception()) for future in failed] == [error] * 4
    stored = {future.result()[0].id for future in futures if future not in failed}
    assert stored == {job.id for job in store.list_jobs(JobFilter(), limit=50)}
    assert len(stored) == 16
    assert [event.job_id for event in store.events()] == sorted(stored)
    assert len(seen) == 16


def test_more_than_a_group(store: Store) -> None:
    """However many wait, each is written and answered."""
    futures = together(store, [a_job() for _ in range(GROUP_LIMIT + 50)])
    assert len({future.result()[0].id for future in futures}) == GROUP_LIMIT + 50


class Interrupt(BaseException):
    """What Ctrl-C is to the thread that happens to write for all."""


def interrupted_once() -> Callable[[SqliteTransaction], None]:
    """Return a write that is interrupted the first time it runs."""
    runs: list[object] = []

    def write(tx: SqliteTransaction) -> None:
        runs.append(tx)
        if len(runs) == 1:
            raise Interrupt

    return write


def test_an_interrupt_is_for_one_alone(store: Store, database: Database) -> None:
    """Who is interrupted while it writes for all has written nothing; the others are written."""
    with ThreadPoolExecutor(6) as pool:
        with gathered(database, 6) as all_there:
            asked = [pool.submit(store.enqueue, [a_job()]) for _ in range(5)]
            pool.submit(database.write, interrupted_once())
            all_there()
        written = [future for future in asked if future.exception(10) is None]
    assert len(written) in {4, 5}
    assert len(store.list_jobs(JobFilter())) == len(written)
    assert not database._writes._waiting


class SoftLimit(Exception):
    """What the handler of an alarm may raise, wherever its thread is."""


class Signalled:
    """The writer's connection, beneath whose user a signal's handler raises after a commit."""

    def __init__(self, real: sqlite3.Connection, error: BaseException) -> None:
        self._real = real
        self._error: BaseException | None = error

    def execute(self, sql: str) -> sqlite3.Cursor:
        cursor = self._real.execute(sql)
        if sql == "commit" and self._error is not None:
            error, self._error = self._error, None
            raise error
        return cursor

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)


@pytest.mark.parametrize("error", [Interrupt(), SoftLimit()], ids=["Ctrl-C", "an alarm"])
@pytest.mark.parametrize("place", ["right after the commit", "while the log is cut"])
def test_a_signal_after_the_commit(
    store: Store,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    place: str,
) -> None:
    """It is raised to the one who wrote for all, and what they asked for is done, once."""
    if place == "while the log is cut":
        errors = [error]

        def cut_log(_: object) -> None:
            if errors:
                raise errors.pop()

        monkeypatch.setattr(database.log, "cut", cut_log)
    else:
        monkeypatch.setattr(database, "_writer", Signalled(database._writing(), error))
    futures = together(store, [a_job(args=str(number)) for number in range(6)])
    raised = [future.exception() for future in futures if future.exception() is not None]
    assert raised == [error]
    answered = {future.result()[0].id for future in futures if future.exception() is None}
    jobs = store.list_jobs(JobFilter())
    assert sorted(job.args for job in jobs) == [str(number) for number in range(6)]
    assert answered < {job.id for job in jobs}


def test_what_was_interrupted_is_not_done_later(store: Store, database: Database) -> None:
    """A write that ended with an interrupt is not made up for by the next one."""
    write = interrupted_once()

    def both(tx: SqliteTransaction) -> None:
        tx.run("queues.pause", queue="interrupted")
        write(tx)

    with pytest.raises(Interrupt):
        database.write(both)
    put(store)
    assert [queue.name for queue in store.queues()] == ["default"]


def test_the_wait_among_threads_is_bounded(
    store: Store, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`Unavailable` when the own process's writes take too long, and nothing is written later."""
    monkeypatch.setattr(group, "PATIENCE", 0.05)
    with database._writes.lock, ThreadPoolExecutor(1) as pool:
        future = pool.submit(store.enqueue, [a_job()])
        assert isinstance(future.exception(10), Unavailable)
    put(store)
    assert len(store.list_jobs(JobFilter())) == 1


def test_another_program_s_lock_is_waited_for(store: Store, raw: sqlite3.Connection) -> None:
    """A transaction of another program on the file holds writes up, and then they go through."""
    raw.execute("begin immediate")
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(store.enqueue, [a_job()])
        assert store.list_jobs(JobFilter()) == []
        assert not future.done()
        raw.execute("rollback")
        assert future.result(10)


def test_another_program_s_lock_is_not_waited_for_for_ever(
    store: Store, database: Database, raw: sqlite3.Connection
) -> None:
    """After a time the writer is told that the store is busy, in our words."""
    assert database._writer is not None
    database._writer.execute("pragma busy_timeout = 50")
    raw.execute("begin immediate")
    with pytest.raises(Unavailable, match="busy"):
        put(store)
    raw.execute("rollback")
    put(store)


def test_reading_goes_on_beside_a_long_write(store: Store, database: Database) -> None:
    """A reader sees what was committed, at once, whatever is being written."""
    job_id = put(store)
    writing, go_on = threading.Event(), threading.Event()

    def long(tx: SqliteTransaction) -> None:
        tx._cursor.execute("update jobs set priority = 99")
        writing.set()
        assert go_on.wait(10)

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(database.write, long)
        assert writing.wait(10)
        seen = store.get(job_id)
        go_on.set()
        future.result(10)
    after = store.get(job_id)
    assert seen is not None
    assert after is not None
    assert (seen.priority, after.priority) == (0, 99)
