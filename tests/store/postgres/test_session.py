"""What PostgreSQL calls a transaction that can take a job, and what it does not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest

from tests.services.postgres import Cluster, Database
from tests.store.hands import a_job, nothing_changed
from workhorse.domain.errors import ConfigurationError, InvalidJob
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
