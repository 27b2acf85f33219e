"""The record is read with a cursor while others write, and whatever order they commit in."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg
import pytest

from tests.scenarios.facts import eventually
from tests.services.postgres import Cluster, Database
from tests.store.hands import NOBODY, a_job, put
from workhorse.domain.events import Event
from workhorse.store.opening import open_store
from workhorse.store.postgres import PostgresStore
from workhorse.store.postgres.record import MARGIN

WRITERS = 4
EACH = 300
SAY = "insert into workhorse.events (at, name, job_id) values (workhorse.clock(), 'log', %s)"
SAY_AFTER = """
    insert into workhorse.events (at, name, job_id)
    select workhorse.clock(), 'log', %s from (select pg_advisory_xact_lock(1) offset 0) as waited
"""


@pytest.fixture
def early(database: Database) -> Iterator[psycopg.Connection]:
    """A caller's connection whose transaction comes first; it stays open."""
    with closing(psycopg.connect(database.url)) as connection:
        yield connection


@pytest.fixture
def late(database: Database) -> Iterator[psycopg.Connection]:
    """Another's, whose transaction overtakes it."""
    with closing(psycopg.connect(database.url)) as connection:
        yield connection


def rest(store: PostgresStore, after: int, job_id: int | None = None) -> list[int]:
    """Return the numbers that a reader sees who goes on from page to page."""
    seen: list[int] = []
    while page := store.events(job_id=job_id, after=seen[-1] if seen else after, limit=7):
        seen += [event.seq for event in page]
    return seen


def numbers(database: Database) -> list[int]:
    return [seq for (seq,) in database.sql("select seq from workhorse.events order by seq")]


def test_writers_that_overtake_one_another(store: PostgresStore, database: Database) -> None:
    """Who follows the record, page by page, while several write at once sees all of it, once."""

    def write(_: int) -> None:
        with closing(open_store(database.url)) as one:
            for _ in range(EACH):
                put(one)

    seen: list[int] = []
    with ThreadPoolExecutor(WRITERS) as pool:
        writing = [pool.submit(write, number) for number in range(WRITERS)]
        while not all(one.done() for one in writing):
            seen += rest(store, seen[-1] if seen else 0)
    seen += rest(store, seen[-1])
    assert seen == numbers(database)
    assert len(seen) == WRITERS * EACH


def test_a_transaction_that_stays_open(
    store: PostgresStore, database: Database, early: psycopg.Connection, late: psycopg.Connection
) -> None:
    """Nothing that it may precede is shown before its end, though its own id is the younger one."""
    late.execute("select pg_current_xact_id()")
    early.execute(SAY, [NOBODY])
    late.execute(SAY, [NOBODY])
    late.commit()
    assert rest(store, 0) == []
    early.commit()
    assert rest(store, 0) == numbers(database) == [1, 2]


def test_what_is_old_is_shown_whoever_writes(
    store: PostgresStore, database: Database, early: psycopg.Connection
) -> None:
    """A transaction that stays open keeps back what is as young as itself, and not the past."""
    put(store)
    past = numbers(database)
    database.sql("alter table workhorse.events disable trigger user")
    database.sql("update workhorse.events set at = at - %s", MARGIN + 1000)
    database.sql("alter table workhorse.events enable trigger user")
    store.enqueue_with(early, [a_job()])
    put(store)
    assert rest(store, 0) == past
    early.rollback()
    assert rest(store, 0) == numbers(database)


def test_what_waited_before_it_drew_its_number(
    store: PostgresStore, database: Database, early: psycopg.Connection, late: psycopg.Connection
) -> None:
    """It says when its statement began: that may be long before a transaction it comes after."""
    held = psycopg.connect(database.url)
    with closing(held), ThreadPoolExecutor(1) as pool:
        held.execute("select pg_advisory_xact_lock(1)")
        waits = pool.submit(late.execute, SAY_AFTER, [NOBODY])
        while not database.waits_for_a_lock():
            assert not waits.done()
        early.execute(SAY, [NOBODY])
        held.commit()
        waits.result()
    late.commit()
    assert rest(store, 0) == []
    early.commit()
    assert rest(store, 0) == numbers(database) == [1, 2]


def test_what_another_role_may_not_know(
    store: PostgresStore, cluster: Cluster, database: Database, early: psycopg.Connection
) -> None:
    """Since when a transaction is open: then nothing is shown before its end, and nothing lost."""
    database.sql("create role passer_by login in role pg_read_all_data")
    try:
        store.enqueue_with(early, [a_job()])
        put(store)
        url = cluster.url(database.name, user="passer_by")
        with closing(open_store(url)) as watcher:
            assert watcher.events() == []
            early.commit()
            assert [event.seq for event in watcher.events()] == numbers(database)
    finally:
        database.sql("drop role passer_by")


def test_one_job(store: PostgresStore, database: Database, early: psycopg.Connection) -> None:
    """Its reader waits for a worker that is about to commit, and not for a caller."""
    job_id = put(store)
    (enqueued,) = rest(store, 0, job_id)
    store.enqueue_with(early, [a_job()])
    worker = psycopg.connect(database.url, application_name="workhorse claims")
    with closing(worker), ThreadPoolExecutor(1) as pool:
        worker.execute(SAY, [job_id])
        database.sql(SAY, job_id)
        started = threading.Event()

        def read() -> list[Event]:
            started.set()
            return store.events(job_id=job_id, after=enqueued)

        reading = pool.submit(read)
        started.wait()
        eventually(lambda: asks_who_writes(database))
        assert not reading.done()
        worker.commit()
        first, second = reading.result()
    assert first.seq < second.seq


def asks_who_writes(database: Database) -> bool:
    """Whether somebody has looked at who writes."""
    return database.sql(
        "select count(*) > 0 from pg_stat_activity"
        " where pid <> pg_backend_pid() and query like '%%pg_locks%%'"
    ) == [(True,)]
