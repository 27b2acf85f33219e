"""A store tells how it is, and lets go when it is asked to."""

from __future__ import annotations

import pytest

from tests.store.backends import Backend
from tests.store.hands import (
    OK,
    SettableClock,
    Worker,
    a_job,
    a_job_in,
    nothing_changed,
    put,
    put_many,
    state,
)
from workhorse.domain.errors import Unavailable
from workhorse.domain.job import State
from workhorse.store.protocol import JobFilter, Store


def test_a_new_store_is_well_and_empty(store: Store, url: str) -> None:
    """Every state is counted, at none; nothing is found that would be an error."""
    health = store.health()
    assert store.counts() == dict.fromkeys(State, 0)
    assert health.schema >= 1
    assert health.size > 0
    assert health.version
    assert health.url == store.url
    assert "error" not in {level for level, _ in health.findings}


def test_jobs_are_counted_by_state(store: Store) -> None:
    """As many as a list would show, in each state."""
    for wanted in (*State, State.AVAILABLE, State.FAILED):
        a_job_in(wanted, store)
    counts = store.counts()
    assert counts == {s: len(store.list_jobs(JobFilter(states=[s]))) for s in State}
    assert counts[State.FAILED] == 2


def test_a_silent_worker_is_found(store: Store, clock: SettableClock) -> None:
    """Its lease has run out and nobody has found it lost yet: somebody should know."""
    worker = Worker(store, lease=10)
    assert not any("silent" in finding for _, finding in store.health().findings)
    clock.advance(10)
    assert any("silent" in finding for level, finding in store.health().findings)
    store.rescue(worker.id, reason="gone")
    assert not any("silent" in finding for _, finding in store.health().findings)


def test_house_keeping_changes_nothing(store: Store) -> None:
    """It may be done at any time, as often as wanted, also while jobs run."""
    ids = put_many(store, 300)
    worker = Worker(store)
    claimed = worker.claim(100)
    with nothing_changed(store):
        store.tidy()
        store.tidy()
    assert worker.settle(claimed[0], OK) == []
    assert state(store, ids[0]) is State.SUCCEEDED


def test_the_schema_is_up_to_date(store: Store) -> None:
    """Opening has brought it there, so there is nothing left to do."""
    with nothing_changed(store):
        assert list(store.migrate()) == []


def test_a_store_opens_on_what_was_there(
    backend: Backend, store: Store, url: str, clock: SettableClock
) -> None:
    """What one process acknowledged, the next one finds, after the first has let go."""
    job_id = put(store)
    worker = Worker(store)
    job = worker.take()
    store.close()
    again = backend.open(url, clock)
    try:
        assert state(again, job_id) is State.RUNNING
        worker.store = again
        assert worker.settle(job, OK) == []
    finally:
        again.close()


def test_a_closed_store_says_so(store: Store) -> None:
    """`Unavailable` for reading and for writing; closing twice is closing once."""
    store.close()
    store.close()
    with pytest.raises(Unavailable, match="closed"):
        store.enqueue([a_job()])
    with pytest.raises(Unavailable, match="closed"):
        store.get(1)
    with pytest.raises(Unavailable, match="closed"):
        store.tidy()
