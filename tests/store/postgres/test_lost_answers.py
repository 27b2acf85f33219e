"""An answer that was lost is asked for again: with an idempotency key there is one job."""

from __future__ import annotations

from contextlib import closing

from tests.services.postgres import Database
from tests.services.proxy import Proxy
from tests.store.hands import a_job
from workhorse.domain.errors import Unavailable
from workhorse.domain.job import Enqueued
from workhorse.store.opening import open_store
from workhorse.store.protocol import JobFilter, Store


def insist(store: Store, key: str) -> tuple[Enqueued, int]:
    """Ask for one job until there is an answer; return it, and how often it was lost."""
    for lost in range(10):
        try:
            return store.enqueue([a_job(idempotency_key=key)])[0], lost
        except Unavailable:
            continue
    raise AssertionError("there was never an answer")


def test_the_connection_breaks_after_any_statement(database: Database, proxy: Proxy) -> None:
    """Whatever the server has done by then, the client that asks again makes no second job."""
    with closing(open_store(proxy.through(database.url))) as store:
        for nth in range(1, 7):
            cut = proxy.cut_after("", nth=nth)
            answer, lost = insist(store, f"key {nth}")
            assert (lost > 0) == cut.is_set() == (nth <= 4), nth
            assert store.get(answer.id) is not None
            assert len(store.list_jobs(JobFilter())) == nth
            proxy.cut_after("no such statement")


def test_the_connection_breaks_after_the_commit(database: Database, proxy: Proxy) -> None:
    """The job is stored and nobody was told: the second answer says that it was there."""
    with closing(open_store(proxy.through(database.url))) as store:
        for number in range(1, 6):
            cut = proxy.cut_after("commit", nth=2)  # a transaction begins as "read committed"
            answer, lost = insist(store, f"key {number}")
            assert cut.is_set()
            assert (answer.existing, lost) == (True, 1)
            assert len(store.list_jobs(JobFilter())) == number
