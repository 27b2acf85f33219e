"""Behind PgBouncer no session has time limits: what nobody waits for any more is ended by us."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg
import pytest

from tests.scenarios.facts import eventually
from tests.services.pgbouncer import PgBouncer
from tests.services.postgres import Database
from tests.services.proxy import Proxy
from tests.store.hands import a_job, put
from workhorse.domain.errors import Unavailable
from workhorse.store.opening import open_store
from workhorse.store.postgres import connection
from workhorse.store.postgres import database as lanes
from workhorse.store.protocol import JobFilter, Store

PATIENCE = 3.0
"""Seconds: less than a store has, whose own limit tests/scenarios/test_proxy.py waits for."""
SLACK = 3.0
"""Seconds that a busy machine may add."""
OPERATIONS: dict[str, Callable[[Store], object]] = {
    "past the driver": put,
    "in one statement": lambda store: store.enqueue([a_job()] * 10),
    "in a transaction": lambda store: store.enqueue([a_job(unique="one"), a_job()]),
    "a question": lambda store: store.list_jobs(JobFilter()),
}


@pytest.fixture(autouse=True)
def _short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection.Connection, "patience", PATIENCE)
    monkeypatch.setattr(lanes, "PATIENCE", PATIENCE)


@pytest.fixture
def store(pgbouncer: PgBouncer, database: Database) -> Iterator[Store]:
    """The store, through the pooler."""
    with closing(open_store(pgbouncer.url(database.name))) as store:
        yield store


def failed_after(operation: Callable[[Store], object], store: Store) -> float:
    """Return after how many seconds it has failed."""
    began = time.monotonic()
    with pytest.raises(Unavailable):
        operation(store)
    return time.monotonic() - began


def test_what_is_given_up_is_ended_at_the_server(store: Store, database: Database) -> None:
    """A lock is held for long: who gave up waiting left nothing that waits on, or is done later."""
    before = put(store)
    with psycopg.connect(database.url) as holder, ThreadPoolExecutor(len(OPERATIONS)) as pool:
        holder.execute("lock table workhorse.jobs")
        asked = [pool.submit(failed_after, act, store) for act in OPERATIONS.values()]
        eventually(database.waits_for_a_lock)
        assert max(one.result() for one in asked) < PATIENCE + SLACK
        eventually(lambda: not database.waits_for_a_lock(), within=SLACK)
    assert [job.id for job in store.list_jobs(JobFilter())] == [before]


def test_a_pooler_that_answers_nothing_costs_no_more(
    pgbouncer: PgBouncer, database: Database
) -> None:
    """To say that it was given up is tried for a moment only, within the same limit."""
    url = pgbouncer.url(database.name)
    with Proxy(url) as proxy, closing(open_store(proxy.through(url))) as store:
        put(store)
        proxy.stall()
        assert failed_after(put, store) < PATIENCE + SLACK / 2
