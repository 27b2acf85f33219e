"""rescue: running → available, scheduled, failed or cancelled, when the worker is gone."""

from __future__ import annotations

import pytest

from tests.store.backends import Backend
from tests.store.hands import (
    OK,
    SettableClock,
    Worker,
    nothing_changed,
    put,
    put_many,
    settled,
    state,
    story,
    the,
)
from workhorse.domain.job import State
from workhorse.domain.transitions import LOST_BEFORE_SOLO, LOST_LIMIT
from workhorse.store.protocol import Retention, Store

SPREAD = 5.0
"""Seconds over which a mass of rescued jobs starts again."""


def test_a_job_outlives_its_worker(store: Store, clock: SettableClock) -> None:
    """When the lease has run out its job is given back; the loss is counted, not the budget."""
    job_id = put(store, max_attempts=1)
    worker = Worker(store, lease=30)
    worker.take()
    clock.advance(30)
    assert store.expired_workers() == [worker.id]
    assert store.rescue(worker.id, reason="its lease ran out") == 1
    job = the(store, job_id)
    assert (job.state, job.worker, job.outcome) == (State.AVAILABLE, None, "lost")
    assert (job.lost, job.failures, job.crashes, job.solo) == (1, 0, 0, False)
    (attempt,) = store.attempts(job_id)
    assert (attempt.attempt, attempt.worker, attempt.outcome) == (1, worker.id, "lost")
    assert story(store, job_id) == ["enqueue", "claim", "rescue"]
    event = store.events(job_id=job_id)[-1]
    assert (event.attempt, event.worker) == (1, worker.id)
    assert event.data == {"outcome": "lost", "state": "available", "reason": "its lease ran out"}
    assert Worker(store).run(OK).attempt == 2


def test_a_living_lease_is_respected(store: Store, clock: SettableClock) -> None:
    """A worker that renewed between the look and the rescue keeps its jobs."""
    put(store)
    worker = Worker(store, lease=30)
    worker.take()
    clock.advance(31)
    assert store.expired_workers() == [worker.id]
    assert store.renew(worker.id, 30)
    with nothing_changed(store):
        assert store.rescue(worker.id, reason="its lease ran out") is None
    assert store.expired_workers() == []


def test_expiry_counts_from_the_last_renewal(store: Store, clock: SettableClock) -> None:
    """However long a job runs, its worker's lease ends only when it is not renewed."""
    put(store, delay=0)
    worker = Worker(store, lease=30)
    job = worker.take()
    for _ in range(20):
        clock.advance(29)
        assert store.renew(worker.id, 30)
        assert store.rescue(worker.id, reason="late") is None
    assert worker.settle(job, OK) == []


def test_who_is_provably_gone_is_rescued_at_once(store: Store) -> None:
    """With proof of its death a worker's jobs do not wait for its lease to end."""
    job_id = put(store)
    worker = Worker(store)
    worker.take()
    assert store.rescue(worker.id, reason="its processes are gone", expired_only=False) == 1
    assert state(store, job_id) is State.AVAILABLE


def test_a_worker_found_lost_is_told(store: Store) -> None:
    """It is marked, claims no more, and its renewal is refused: it must begin again."""
    put_many(store, 2)
    worker = Worker(store)
    worker.take()
    store.rescue(worker.id, reason="gone", expired_only=False)
    assert not store.renew(worker.id, 30)
    assert worker.claim() == []
    assert store.workers() == []
    (info,) = store.workers(gone=True)
    assert (info.id, info.state, info.running) == (worker.id, "lost", 0)
    (event,) = [event for event in store.events() if event.name == "worker_lost"]
    assert (event.worker, event.job_id) == (worker.id, None)
    assert event.data == {"reason": "gone", "jobs": 1}


@pytest.mark.parametrize("expired_only", [True, False])
def test_a_second_rescue_finds_nothing(
    store: Store, clock: SettableClock, expired_only: bool
) -> None:
    """Two passes that saw the same death: the second changes nothing."""
    put(store)
    worker = Worker(store, lease=1)
    worker.take()
    clock.advance(1)
    assert store.rescue(worker.id, reason="gone") == 1
    with nothing_changed(store):
        assert store.rescue(worker.id, reason="gone", expired_only=expired_only) is None


def test_what_was_settled_in_time_is_not_rescued(store: Store, clock: SettableClock) -> None:
    """A job that ended between the look and the rescue stays as it ended."""
    first, second = put_many(store, 2)
    worker = Worker(store, lease=1)
    job, _ = worker.claim()
    clock.advance(1)
    assert store.expired_workers() == [worker.id]
    assert worker.settle(job, OK) == []
    assert store.rescue(worker.id, reason="gone") == 1
    assert [state(store, id) for id in (first, second)] == [State.SUCCEEDED, State.AVAILABLE]


def test_others_keep_their_jobs(store: Store, clock: SettableClock) -> None:
    """A rescue touches the jobs of one worker."""
    put_many(store, 4)
    silent, alive = Worker(store, lease=1), Worker(store, lease=60)
    silent.claim(2)
    held = alive.claim()
    clock.advance(1)
    assert store.expired_workers() == [silent.id]
    assert store.rescue(silent.id, reason="gone") == 2
    assert alive.turn([settled(job, OK) for job in held]).stale == []


def lose(store: Store, job_id: int) -> Store:
    """Let a new worker claim the job and be found lost."""
    worker = Worker(store)
    assert store.claim_job(worker.id, job_id) is not None
    assert store.rescue(worker.id, reason="gone", expired_only=False) == 1
    return store


def test_a_job_lost_again_and_again(store: Store, clock: SettableClock) -> None:
    """It waits longer each time, runs alone from the third attempt on, fails at the tenth.

    No loss ever counts against its budget.
    """
    job_id = put(store, max_attempts=1)
    waits = []
    for number in range(1, LOST_LIMIT):
        lose(store, job_id)
        job = the(store, job_id)
        assert (job.lost, job.failures) == (number, 0)
        assert job.solo == (number >= LOST_BEFORE_SOLO)
        waits.append((job.run_at - clock.now) / 1000)
    assert waits == [0, 5, 15, 35, 75, 155, 300, 300, 300]
    lose(store, job_id)
    job = the(store, job_id)
    assert (job.state, job.outcome, job.lost, job.failures) == ("failed", "lost", LOST_LIMIT, 0)
    rescues = [event for event in store.events(job_id=job_id) if event.name == "rescue"]
    told = [event.data["state"] for event in rescues]
    assert told == ["available"] + ["scheduled"] * 8 + ["failed"]


def test_a_mass_of_rescued_jobs_is_spread(store: Store, clock: SettableClock) -> None:
    """The first hundred start again at once; a thousand over five seconds, in their old order."""
    ids = put_many(store, 1200)
    worker = Worker(store)
    worker.claim()
    assert store.rescue(worker.id, reason="gone", expired_only=False) == 1200
    waits = [(the(store, id).run_at - clock.now) / 1000 for id in ids]
    assert [state(store, id) for id in ids[:100]] == [State.AVAILABLE] * 100
    assert {state(store, id) for id in ids[100:]} == {State.SCHEDULED}
    assert waits == sorted(waits)
    assert (waits[99], waits[-1]) == (0, SPREAD)
    assert 0 < waits[100] < 0.1
    assert len(set(waits)) > 500
    clock.advance(SPREAD)
    assert store.promote(limit=5000).jobs == 1100


def test_a_few_rescued_jobs_start_at_once(store: Store) -> None:
    """No spread where there is no mass."""
    ids = put_many(store, 100)
    worker = Worker(store)
    worker.claim()
    store.rescue(worker.id, reason="gone", expired_only=False)
    assert {state(store, id) for id in ids} == {State.AVAILABLE}


@pytest.mark.parametrize(("ended", "outcome"), [("gone", "released"), ("lost", "lost")])
def test_what_one_that_is_no_more_still_holds(
    store: Store, backend: Backend, url: str, ended: str, outcome: str
) -> None:
    """It is given back by the next look, be it left by an end that was cut short or claimed late.

    Who has said goodbye was not lost: what it could not give back then is released.
    """
    job_id = put(store)
    worker = Worker(store)
    worker.take()
    workers = backend.jobs.replace("jobs", "workers")
    with backend.connect(url) as raw:
        raw.execute(f"update {workers} set state = '{ended}'")
        raw.commit()
    assert list(store.look().expired) == [worker.id]
    assert store.rescue(worker.id, reason="late") == 1
    job = the(store, job_id)
    assert (job.state, job.outcome, job.lost) == (State.AVAILABLE, outcome, int(ended == "lost"))
    assert list(store.look().expired) == []
    with nothing_changed(store):
        assert store.rescue(worker.id, reason="late") is None


def test_who_still_holds_a_job_is_not_forgotten(
    store: Store, backend: Backend, url: str, clock: SettableClock
) -> None:
    """However long ago a worker left: the job is found by who holds it, and released."""
    job_id = put(store)
    worker = Worker(store)
    worker.take()
    with backend.connect(url) as raw:
        raw.execute(f"update {backend.jobs.replace('jobs', 'workers')} set state = 'gone'")
        raw.commit()
    clock.advance(10**9)
    store.prune(Retention())
    assert store.expired_workers() == [worker.id]
    assert store.rescue(worker.id, reason="late") == 1
    assert the(store, job_id).outcome == "released"
    store.prune(Retention())
    assert store.workers(gone=True) == []


def test_who_holds_a_job_and_is_not_known(store: Store, backend: Backend, url: str) -> None:
    """A job whose worker's row is missing does not run for ever: it is lost, and given back."""
    job_id = put(store)
    worker = Worker(store)
    worker.take()
    with backend.connect(url) as raw:
        raw.execute(f"delete from {backend.jobs.replace('jobs', 'workers')}")
        raw.commit()
    assert list(store.look().expired) == store.expired_workers() == [worker.id]
    assert store.rescue(worker.id, reason="not known") == 1
    job = the(store, job_id)
    assert (job.state, job.outcome, job.lost) == (State.AVAILABLE, "lost", 1)
    assert store.expired_workers() == []


def test_a_worker_without_jobs_is_found_lost_too(store: Store, clock: SettableClock) -> None:
    """Silence is noticed whether or not it holds anything up."""
    worker = Worker(store, lease=1)
    clock.advance(1)
    assert store.rescue(worker.id, reason="gone") == 0
    assert not store.renew(worker.id, 1)
    assert store.expired_workers() == []


def test_a_draining_worker_can_be_lost(store: Store, clock: SettableClock) -> None:
    """A worker that fell silent while it drained is rescued like any other."""
    job_id = put(store)
    worker = Worker(store, lease=1)
    worker.take()
    store.draining(worker.id)
    clock.advance(1)
    assert store.expired_workers() == [worker.id]
    assert store.rescue(worker.id, reason="gone") == 1
    assert state(store, job_id) is State.AVAILABLE
