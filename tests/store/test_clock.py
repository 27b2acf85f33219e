"""Times that are stored come from one clock, the store's, which never goes back."""

from __future__ import annotations

from tests.store.hands import OK, SettableClock, Worker, put, the
from workhorse.store.protocol import Store


def test_every_instant_is_the_store_s(store: Store, clock: SettableClock) -> None:
    """Enqueued, due, started, finished: read from the same clock as leases are."""
    asked = clock.now
    job_id = put(store)
    clock.advance(10)
    worker = Worker(store, lease=30)
    job = worker.take()
    clock.advance(10)
    worker.settle(job, OK)
    after = the(store, job_id)
    assert (after.enqueued_at, after.run_at) == (asked, asked)
    assert (after.started_at, after.finished_at) == (asked + 10_000, asked + 20_000)
    assert store.workers()[0].lease_until == asked + 40_000
