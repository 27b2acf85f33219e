"""Who waits for work is rung by a job that is stored, and silence follows a ring alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from time import monotonic

import psycopg
import pytest

from tests.scenarios.facts import eventually
from tests.services.postgres import Database
from tests.store.hands import ERROR, NOBODY, Worker, a_job, put
from workhorse.domain.errors import WorkhorseError
from workhorse.domain.job import NewJob
from workhorse.domain.outcome import Released
from workhorse.store.opening import open_store
from workhorse.store.postgres import PostgresStore, ringing

NUL = '["\0"]'
REFUSED: dict[str, list[NewJob]] = {
    "one": [a_job(args=NUL)],
    "many alike": [a_job(), a_job(args=NUL)],
    "in a transaction": [a_job(), a_job(after=[NOBODY])],
}

Heard = Callable[[], list[str]]


@pytest.fixture(autouse=True)
def _long_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """A silence that no test outlasts."""
    monkeypatch.setattr(ringing, "QUIET", 600.0)


@pytest.fixture
def heard(store: PostgresStore, database: Database) -> Iterator[Heard]:
    """The queues that were rung for since the last look."""
    assert store.place.channel == "workhorse"
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute("listen workhorse")

        def look() -> list[str]:
            connection.execute("select")  # what was committed before is there with the answer
            return [notified.payload for notified in connection.notifies(timeout=0)]

        yield look


def test_a_ring_is_followed_by_silence(store: PostgresStore, heard: Heard) -> None:
    """The first job of a queue rings; those right after it do not."""
    put(store, queue="first")
    put(store, queue="second")
    put(store, queue="first")
    assert heard() == ["first", "second"]
    store.enqueue([a_job(queue=queue) for queue in ("first", "third", "second", "third")])
    assert heard() == ["third"]


def test_a_job_that_comes_long_after_the_ring_has_one_of_its_own(
    store: PostgresStore, database: Database, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Begun in the silence, it is there when a worker that was rung looks only now and then."""
    monkeypatch.setattr(ringing, "QUIET", 0.2)
    with psycopg.connect(database.url) as session, ThreadPoolExecutor(1) as pool:
        store.enqueue_with(session, [a_job(unique="u")])
        put(store)
        began = monotonic()
        late = pool.submit(put, store, unique="u")
        eventually(lambda: database.waits_for_a_lock() and monotonic() - began > 2 * ringing.QUIET)
        assert heard() == ["default"]
        session.rollback()
        late.result()
    assert heard() == ["default"]


def test_more_queues_than_are_known_are_rung_for_too_often(
    store: PostgresStore, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is remembered of queues is bounded; none is forgotten to be rung for."""
    monkeypatch.setattr(ringing, "QUEUES", 2)
    for queue in "aabbcca":
        put(store, queue=queue)
    assert heard() == ["a", "b", "c", "a"]


@pytest.mark.parametrize("jobs", REFUSED.values(), ids=REFUSED)
def test_a_refused_job_rings_nobody(store: PostgresStore, heard: Heard, jobs: list[NewJob]) -> None:
    """It is not what the next one leaves the ringing to."""
    with pytest.raises(WorkhorseError):
        store.enqueue(jobs)
    assert heard() == []
    put(store)
    assert heard() == ["default"]


def test_a_job_that_is_there_already_rings_nobody(
    store: PostgresStore, database: Database, heard: Heard
) -> None:
    """An enqueue that is answered with another's job adds nothing, and rings for nothing."""
    with closing(open_store(database.url)) as other:
        put(other, idempotency_key="k")
    assert heard() == ["default"]
    put(store, idempotency_key="k")
    assert heard() == []
    store.enqueue([a_job(queue="next"), a_job(idempotency_key="k")])
    assert heard() == ["next"]
    put(store)
    assert heard() == ["default"]


def test_a_refused_job_does_not_end_a_silence(store: PostgresStore, heard: Heard) -> None:
    """Who was rung a moment ago looks again by itself."""
    put(store)
    with pytest.raises(WorkhorseError):
        store.enqueue([a_job(after=[NOBODY])])
    put(store)
    assert heard() == ["default"]


def test_a_job_that_is_given_back_rings(store: PostgresStore, heard: Heard) -> None:
    """Others may be idle: they need not wait for their next look."""
    put(store)
    worker = Worker(store)
    job = worker.take()
    assert heard() == ["default"]
    worker.settle(job, Released("drained"))
    assert heard() == ["default"]


def test_a_job_that_is_to_wait_rings_nobody(store: PostgresStore, heard: Heard) -> None:
    """Given back for later, it could not be claimed yet."""
    put(store)
    worker = Worker(store)
    job = worker.take()
    assert heard() == ["default"]
    worker.settle(job, ERROR)
    assert heard() == []


def test_a_session_that_is_rolled_back_rings_nobody(
    store: PostgresStore, database: Database, heard: Heard
) -> None:
    """A job in a caller's transaction rings when that is committed, and is no other's ring."""
    with psycopg.connect(database.url) as session:
        store.enqueue_with(session, [a_job()])
        session.rollback()
    put(store)
    assert heard() == ["default"]
