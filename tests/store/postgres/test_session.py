"""What PostgreSQL calls a transaction that can take a job, and what it does not."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg
import pytest

from tests.services.postgres import Cluster, Database
from tests.store.hands import a_job, nothing_changed, put
from workhorse.domain.errors import ConfigurationError, InvalidJob, Unavailable
from workhorse.store.protocol import JobFilter, Store


@pytest.fixture
def mine(database: Database) -> Iterator[psycopg.Connection]:
    """The caller's connection."""
    with closing(psycopg.connect(database.url)) as connection:
        yield connection


def test_a_transaction_that_has_failed(store: Store, mine: psycopg.Connection) -> None:
    """It can only be rolled back: the caller is told, and may go on after that."""
    with pytest.raises(psycopg.errors.DivisionByZero):
        mine.execute("select 1 / 0")
    with nothing_changed(store), pytest.raises(InvalidJob, match="has failed") as refused:
        store.enqueue_with(mine, [a_job()])
    assert refused.value.hint
    mine.rollback()
    store.enqueue_with(mine, [a_job()])
    mine.commit()
    assert len(store.list_jobs(JobFilter())) == 1


def test_a_transaction_that_may_only_read(store: Store, mine: psycopg.Connection) -> None:
    """`InvalidJob`: to try again would change nothing. The transaction itself goes on."""
    mine.read_only = True
    with nothing_changed(store), pytest.raises(InvalidJob, match="session is read-only"):
        store.enqueue_with(mine, [a_job()])
    assert mine.execute("select 1").fetchone() == (1,)


def test_a_pipeline(store: Store, mine: psycopg.Connection) -> None:
    """Its answers come later, and an enqueue needs them at once: it is refused before it sends."""
    with mine.pipeline():
        mine.execute("create table orders (number integer)")
        with nothing_changed(store), pytest.raises(InvalidJob, match="pipeline") as refused:
            store.enqueue_with(mine, [a_job()])
        assert refused.value.hint
    mine.execute("insert into orders values (1)")
    mine.commit()
    assert store.list_jobs(JobFilter()) == []
    store.enqueue_with(mine, [a_job()])
    mine.commit()
    assert len(store.list_jobs(JobFilter())) == 1


def test_a_lock_that_is_not_had(store: Store, mine: psycopg.Connection, database: Database) -> None:
    """`Unavailable` says what is waited for, and that the transaction may try again."""
    mine.execute("set lock_timeout = '50ms'")
    with closing(psycopg.connect(database.url)) as other:
        store.enqueue_with(other, [a_job(unique="k")])
        with pytest.raises(Unavailable, match="another transaction") as refused:
            store.enqueue_with(mine, [a_job(unique="k")])
        assert "doctor" in str(refused.value.hint)
    store.enqueue_with(mine, [a_job(unique="k")])
    mine.commit()
    assert len(store.list_jobs(JobFilter())) == 1


@pytest.mark.parametrize(
    "level", [psycopg.IsolationLevel.REPEATABLE_READ, psycopg.IsolationLevel.SERIALIZABLE]
)
def test_another_was_faster(
    store: Store, mine: psycopg.Connection, level: psycopg.IsolationLevel
) -> None:
    """What the transaction sees is out of date: it is to begin again, not to wait."""
    mine.isolation_level = level
    mine.execute("select 1 from workhorse.jobs")
    holder = put(store, unique="k")
    with pytest.raises(Unavailable, match="transaction") as refused:
        store.enqueue_with(mine, [a_job(), a_job(unique="k")])
    assert "all of it again" in str(refused.value.hint)
    mine.rollback()
    (answer,) = store.enqueue_with(mine, [a_job(unique="k")])
    mine.commit()
    assert [job.id for job in store.list_jobs(JobFilter())] == [answer.id] == [holder]


def test_each_waits_for_the_other(
    store: Store, mine: psycopg.Connection, database: Database
) -> None:
    """The server gives one transaction up: it, too, is to begin again."""
    mine.execute("set deadlock_timeout = '50ms'")
    store.enqueue_with(mine, [a_job(unique="a")])
    with closing(psycopg.connect(database.url)) as other, ThreadPoolExecutor(1) as pool:
        other.execute("set deadlock_timeout = '1min'")
        store.enqueue_with(other, [a_job(unique="b")])
        waits = pool.submit(store.enqueue_with, other, [a_job(unique="a")])
        while not database.waits_for_a_lock():
            assert not waits.done()
        with pytest.raises(Unavailable) as refused:
            store.enqueue_with(mine, [a_job(unique="b")])
        mine.rollback()
        assert not waits.result()[0].existing
    assert "transaction" in refused.value.message
    assert "all of it again" in str(refused.value.hint)


def test_a_session_on_another_database(store: Store, cluster: Cluster) -> None:
    """A mistake of the caller's: nothing of the store is gone, and nothing is to be waited for."""
    elsewhere = cluster.create_database()
    try:
        with closing(psycopg.connect(elsewhere.url)) as stranger:
            with nothing_changed(store), pytest.raises(ConfigurationError) as refused:
                store.enqueue_with(stranger, [a_job()])
            assert "session" in str(refused.value.hint)
    finally:
        cluster.drop_database(elsewhere.name)
