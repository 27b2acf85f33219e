"""A worker's row: its lease, and what becomes of it."""

from __future__ import annotations

import pytest

from tests.store.backends import Backend
from tests.store.hands import (
    NOBODY,
    OK,
    SettableClock,
    Worker,
    nothing_changed,
    put,
    put_many,
    state,
    story,
    the,
)
from workhorse.domain.events import Life
from workhorse.domain.job import State, WorkerInfo
from workhorse.store.protocol import Store


def test_a_worker_is_known_by_a_new_id(store: Store, other: Store, clock: SettableClock) -> None:
    """What a supervisor says of itself is there for all; no id is used twice."""
    worker = Worker(store, queues=["a", "b"], kinds=["x"], lease=12.5, host="host-1")
    assert other.workers() == [
        WorkerInfo(
            id=worker.id,
            host="host-1",
            pid=4242,
            started_at=clock.now,
            lease_until=clock.now + 12_500,
            state="alive",
            queues=["a", "b"],
            kinds=["x"],
            processes=2,
            concurrency=10,
            running=0,
            restarts=0,
        )
    ]
    store.retire(worker.id)
    assert Worker(store).id > worker.id


def test_workers_are_listed_newest_first(store: Store) -> None:
    """Those that live; with `gone`, those that do not any more, too."""
    gone, lost, old, new = (Worker(store) for _ in range(4))
    store.retire(gone.id)
    store.rescue(lost.id, reason="gone", expired_only=False)
    store.draining(old.id)
    assert [(w.id, w.state) for w in store.workers()] == [(new.id, "alive"), (old.id, "draining")]
    assert [(w.id, w.state) for w in store.workers(gone=True)] == [
        (new.id, "alive"),
        (old.id, "draining"),
        (lost.id, "lost"),
        (gone.id, "gone"),
    ]


def test_a_worker_s_running_jobs_are_counted(store: Store) -> None:
    """As many as it holds now: from the rows that are there."""
    put_many(store, 3)
    worker = Worker(store)
    job, _ = worker.claim(2)
    assert store.workers()[0].running == 2
    worker.settle(job, OK)
    assert store.workers()[0].running == 1


def test_a_renewal_moves_the_lease(store: Store, clock: SettableClock) -> None:
    """From now on, for as long as asked; and it carries the number of restarts."""
    worker = Worker(store, lease=10)
    clock.advance(4)
    assert store.renew(worker.id, 20, restarts=3)
    (info,) = store.workers()
    assert (info.lease_until, info.restarts) == (clock.now + 20_000, 3)
    clock.advance(19.999)
    assert store.expired_workers() == []
    clock.advance(0.001)
    assert store.expired_workers() == [worker.id]


def test_a_renewal_that_comes_late_still_counts(store: Store, clock: SettableClock) -> None:
    """A worker that nobody has found lost yet goes on, with all it holds."""
    put(store)
    worker = Worker(store, lease=10)
    job = worker.take()
    clock.advance(3600)
    assert store.renew(worker.id, 10)
    assert store.expired_workers() == []
    assert worker.settle(job, OK) == []


def test_there_is_no_renewal_after_the_end(store: Store) -> None:
    """Retired, lost or never there: the answer is no, and nothing is changed."""
    retired, lost = Worker(store), Worker(store)
    store.retire(retired.id)
    store.rescue(lost.id, reason="gone", expired_only=False)
    with nothing_changed(store):
        assert [store.renew(id, 30) for id in (retired.id, lost.id, NOBODY)] == [False] * 3


def test_an_id_that_is_given_again(
    store: Store, other: Store, backend: Backend, url: str, clock: SettableClock
) -> None:
    """Where rows are lost, as to a backup, one learns that its id is another's: it begins again."""
    before = Worker(store)
    backend.forget_workers(url)
    clock.advance(1)
    after = Worker(other)
    assert after.id == before.id
    with nothing_changed(store):
        assert not store.renew(before.id, 30)
    assert other.renew(after.id, 30)
    again = Worker(store)
    assert again.id != after.id
    assert store.renew(again.id, 30)


def test_a_renewal_writes_no_event(store: Store) -> None:
    """A heartbeat is not news."""
    worker = Worker(store)
    before = store.events()
    store.renew(worker.id, 30)
    assert store.events() == before


def test_what_a_retired_worker_held_is_released(store: Store) -> None:
    """Available at once, its budget untouched, by the same edge as any release."""
    ids = put_many(store, 2, max_attempts=1)
    worker = Worker(store)
    worker.claim()
    store.retire(worker.id)
    assert [state(store, id) for id in ids] == [State.AVAILABLE] * 2
    job = the(store, ids[0])
    assert (job.failures, job.lost, job.outcome) == (0, 0, "released")
    assert story(store, ids[0]) == ["enqueue", "claim", "release"]
    assert [claimed.attempt for claimed in Worker(store).claim()] == [2, 2]


@pytest.mark.parametrize("end", ["retired", "lost"])
def test_the_end_is_final(store: Store, end: str) -> None:
    """Neither draining nor another end changes anything after it."""
    worker = Worker(store)
    if end == "retired":
        store.retire(worker.id)
    else:
        store.rescue(worker.id, reason="gone", expired_only=False)
    with nothing_changed(store):
        store.draining(worker.id)
        store.retire(worker.id)
        store.rescue(worker.id, reason="gone", expired_only=False)


def test_a_draining_worker_keeps_its_lease(store: Store, clock: SettableClock) -> None:
    """It goes on renewing until the last of its jobs is through."""
    put(store)
    worker = Worker(store, lease=10)
    job = worker.take()
    store.draining(worker.id)
    for _ in range(5):
        clock.advance(8)
        assert store.renew(worker.id, 10)
    assert worker.settle(job, OK) == []


def test_an_event_of_a_worker_s_life(store: Store, clock: SettableClock) -> None:
    """What a supervisor notes is in the record, under its worker."""
    worker = Worker(store)
    data = {"child": 2, "exit_signal": "SIGKILL", "planned": None}
    store.note(Life.CHILD_DIED, worker=worker.id, data=data)
    event = store.events()[-1]
    assert (event.name, event.worker, event.job_id, event.at) == (
        "child_died",
        worker.id,
        None,
        clock.now,
    )
    assert event.data == data


def test_who_holds_nothing(store: Store) -> None:
    """A worker without jobs, and one that is not there, hold none and have no requests."""
    worker = Worker(store)
    for id in (worker.id, NOBODY):
        assert store.held(id) == []
        assert store.held(id, 1) == []
        assert store.cancel_requests(id) == []
        assert store.rescue(id, reason="gone") is None
