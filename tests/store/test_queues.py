"""What can be seen of queues, and stopped: counts, ages, pauses."""

from __future__ import annotations

import pytest

from tests.store.hands import (
    ERROR,
    OK,
    SettableClock,
    Worker,
    a_job_in,
    nothing_changed,
    put,
    put_many,
)
from workhorse.domain.errors import InvalidJob
from workhorse.domain.job import QueueStats, State
from workhorse.domain.outcome import Released
from workhorse.store.protocol import Store


def test_a_queue_s_unfinished_jobs_are_counted(store: Store) -> None:
    """By state; finished ones are not waiting for anything and are not counted here."""
    put_many(store, 3, queue="a")
    Worker(store, queues=["a"]).claim(1)
    put(store, queue="a", delay=5)
    put(store, queue="a", after=[put(store, queue="b")])
    for ended in (State.SUCCEEDED, State.FAILED, State.CANCELLED):
        a_job_in(ended, store, queue="b", priority=1)
    counts = {queue.name: dict(queue.counts) for queue in store.queues()}
    assert counts == {
        "a": {State.AVAILABLE: 2, State.RUNNING: 1, State.SCHEDULED: 1, State.BLOCKED: 1},
        "b": {State.AVAILABLE: 1},
    }


def test_queues_are_those_with_jobs_a_pause_or_a_worker(store: Store) -> None:
    """By name; a queue that nothing speaks of any more is not listed."""
    assert store.queues() == []
    store.pause("paused")
    worker = Worker(store, queues=["served", "work"])
    put(store, queue="work")
    assert store.queues() == [
        QueueStats("paused", paused=True),
        QueueStats("served"),
        QueueStats("work", counts={State.AVAILABLE: 1}, oldest_available_age=0),
    ]
    worker.run(OK)
    store.retire(worker.id)
    store.resume("paused")
    assert store.queues() == []


def test_the_age_of_the_oldest_available_job(store: Store, clock: SettableClock) -> None:
    """How long the first of the available ones could have been claimed; none where none is."""
    put(store, queue="a")
    clock.advance(2)
    put(store, queue="a")
    put(store, queue="b", delay=1)
    put(store, queue="c", delay=60)
    clock.advance(3)
    store.promote()
    ages = {queue.name: queue.oldest_available_age for queue in store.queues()}
    assert ages == {"a": 5000, "b": 2000, "c": None}


def test_a_job_that_came_back_has_not_been_available_all_the_while(
    store: Store, clock: SettableClock
) -> None:
    """Tried again or unblocked, it is older than others, and could be claimed later than they."""
    first, _ = put_many(store, 2)
    put(store, queue="after", after=[first])
    worker = Worker(store)
    clock.advance(3)
    assert worker.run(Released("drained")).id == first
    clock.advance(2)
    assert [queue.oldest_available_age for queue in store.queues()] == [None, 5000]
    assert worker.run(OK).id == first
    clock.advance(1)
    assert [queue.oldest_available_age for queue in store.queues()] == [1000, 6000]


def test_a_job_that_was_given_back_waits_from_then_on(store: Store, clock: SettableClock) -> None:
    """While it ran it could not be claimed: that does not count towards its queue's age."""
    put(store)
    clock.advance(3)
    worker = Worker(store)
    job = worker.take()
    clock.advance(10)
    worker.settle(job, Released("drained"))
    clock.advance(2)
    assert [queue.oldest_available_age for queue in store.queues()] == [2000]


def test_an_age_is_never_negative(store: Store, clock: SettableClock) -> None:
    """Whoever made a job due may have read a clock that was ahead."""
    put(store)
    clock.advance(-3)
    assert [queue.oldest_available_age for queue in store.queues()] == [0]


def test_a_pause_twice_is_one_pause(store: Store) -> None:
    """And so is a resume; each change has one event, naming the queue."""
    for _ in range(2):
        store.pause("q")
    assert [(queue.name, queue.paused) for queue in store.queues()] == [("q", True)]
    for _ in range(2):
        store.resume("q")
    assert store.queues() == []
    assert [(event.name, event.data) for event in store.events()] == [
        ("queue_paused", {"queue": "q"}),
        ("queue_resumed", {"queue": "q"}),
    ]


def test_a_pause_is_about_claims_alone(store: Store, clock: SettableClock) -> None:
    """A paused queue takes jobs in, and they become due, but none is handed out."""
    store.pause("default")
    worker = Worker(store)
    put(store, delay=1)
    clock.advance(1)
    assert store.promote().jobs == 1
    assert worker.claim() == []
    (queue,) = store.queues()
    assert (queue.paused, queue.counts) == (True, {State.AVAILABLE: 1})


def test_kinds_that_wait(store: Store) -> None:
    """How many available jobs there are of each queue and kind: what nobody runs is found."""
    put_many(store, 2, kind="b")
    put(store, kind="b", queue="q")
    put(store, kind="a")
    put(store, kind="c", delay=1)
    Worker(store, kinds=["a"]).run(ERROR)
    with nothing_changed(store):
        assert store.waiting() == {("default", "b"): 2, ("q", "b"): 1}
        assert store.waiting(oldest=1) == {("default", "b"): 1}


@pytest.mark.parametrize("name", ["", "a b", "a\0", "q" * 129, "q" * 1_000_000])
def test_what_cannot_name_a_queue_is_not_paused(store: Store, name: str) -> None:
    """No job could ever be in it."""
    with nothing_changed(store), pytest.raises(InvalidJob, match="cannot name a queue"):
        store.pause(name)
