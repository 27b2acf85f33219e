"""cancel: any unfinished → cancelled; a running job is told, ended, then settled."""

from __future__ import annotations

import pytest

from tests.store.backends import Backend
from tests.store.hands import (
    ERROR,
    LOST,
    NOBODY,
    OK,
    SettableClock,
    Worker,
    a_job_in,
    nothing_changed,
    put,
    settled,
    state,
    story,
    the,
)
from workhorse.domain.errors import Conflict, NotFound
from workhorse.domain.job import FINAL, State
from workhorse.domain.outcome import AttemptOutcome, Cancelled, Rejected, Released, Snoozed
from workhorse.store.protocol import Store
from workhorse.text import MESSAGE_LIMIT

WAITING = (State.SCHEDULED, State.BLOCKED, State.AVAILABLE)
ENDLESS = 10**30


@pytest.mark.parametrize("waiting", WAITING)
def test_a_waiting_job_is_cancelled_at_once(
    store: Store, clock: SettableClock, waiting: State
) -> None:
    """It is cancelled when the call returns, with the reason, and never starts."""
    job_id = a_job_in(waiting, store, queue="here")
    clock.advance(1)
    assert store.cancel(job_id, reason="not needed") is State.CANCELLED
    job = the(store, job_id)
    assert (job.state, job.finished_at, job.waits_for) == (State.CANCELLED, clock.now, [])
    assert job.error == {"type": "Cancelled", "message": "not needed"}
    assert store.attempts(job_id) == []
    event = store.events(job_id=job_id)[-1]
    assert event.name == "cancel"
    assert event.data == {"outcome": "cancelled", "reason": "not needed"}
    clock.advance(3600)
    store.promote()
    store.sweep()
    assert Worker(store, queues=["here"]).claim() == []


@pytest.mark.parametrize("running", [False, True])
@pytest.mark.parametrize(
    ("reason", "kept"),
    [
        ("nul \0 and half \udcff", "nul \ufffd and half \ufffd"),
        ("x" * 9000, "x" * (MESSAGE_LIMIT - 3) + "…"),
    ],
)
def test_a_reason_no_store_takes_is_made_one(
    store: Store, reason: str, kept: str, *, running: bool
) -> None:
    """As the message of an exception is: clean, and cut."""
    job_id = put(store)
    worker = Worker(store)
    jobs = worker.claim() if running else []
    store.cancel(job_id, reason=reason)
    for job in jobs:
        worker.settle(job, Cancelled())
    error = the(store, job_id).error
    assert error is not None
    assert error["message"] == kept
    assert store.events(job_id=job_id)[-1].data["reason"] == kept


def test_a_running_job_is_told(store: Store, clock: SettableClock) -> None:
    """It goes on until its worker has ended it; the worker learns of it, since when, and why."""
    job_id = put(store)
    worker, other = Worker(store), Worker(store)
    job = worker.take()
    assert store.cancel_requests(worker.id) == []
    assert store.cancel(job_id, reason="enough") is State.RUNNING
    clock.advance(1.5)
    told = the(store, job_id)
    assert (told.state, told.cancel_requested) == (State.RUNNING, True)
    assert store.cancel_requests(worker.id) == [(job_id, 1, 1500, "enough")]
    assert store.cancel_requests(other.id) == []
    assert store.held(worker.id)[0].cancel_requested
    assert worker.settle(job, Cancelled()) == []
    assert state(store, job_id) is State.CANCELLED
    assert store.cancel_requests(worker.id) == []
    (attempt,) = store.attempts(job_id)
    assert attempt.outcome == "cancelled"


def test_a_running_job_is_cancelled_with_the_reason(store: Store) -> None:
    """Job, attempt and record tell why, as of a job that was waiting; so it is of each of many."""
    told, other, failed = put(store), put(store), put(store, max_attempts=1)
    worker = Worker(store)
    jobs = worker.claim()
    reason = 'the "café" is closed\n'
    store.cancel(told, reason=reason)
    outcomes: list[AttemptOutcome] = [Cancelled(), Cancelled("by itself"), ERROR]
    worker.turn([settled(job, outcome) for job, outcome in zip(jobs, outcomes, strict=True)])
    for job_id, why in {told: reason, other: "by itself"}.items():
        assert the(store, job_id).error == {"type": "Cancelled", "message": why}
        (attempt,) = store.attempts(job_id)
        assert attempt.error == {"type": "Cancelled", "message": why}
        event = store.events(job_id=job_id)[-1]
        assert (event.name, event.attempt, event.worker) == ("cancel", 1, worker.id)
        assert event.data == {"outcome": "cancelled", "reason": why}
    assert the(store, failed).error == {"type": "ValueError", "message": "it went wrong"}


@pytest.mark.parametrize("outcome", [ERROR, Rejected("never")])
def test_a_job_told_to_end_that_fails(store: Store, outcome: AttemptOutcome) -> None:
    """What went wrong before it could be ended is what it tells."""
    job_id = put(store, max_attempts=1)
    worker = Worker(store)
    job = worker.take()
    store.cancel(job_id, reason="enough")
    worker.settle(job, outcome)
    assert state(store, job_id) is State.FAILED
    assert "enough" not in str(the(store, job_id).error)


def test_asking_again_changes_nothing(store: Store, clock: SettableClock) -> None:
    """A second request neither starts the wait anew nor changes the reason."""
    job_id = put(store)
    worker = Worker(store)
    job = worker.take()
    store.cancel(job_id, reason="first")
    clock.advance(1)
    with nothing_changed(store):
        assert store.cancel(job_id, reason="second") is State.RUNNING
    assert store.cancel_requests(worker.id) == [(job_id, 1, 1000, "first")]
    worker.settle(job, Released("drained"))
    assert the(store, job_id).error == {"type": "Cancelled", "message": "first"}


def test_a_job_that_succeeds_all_the_same(store: Store) -> None:
    """When the handler was faster than the request, its result counts."""
    job_id = put(store)
    worker = Worker(store)
    job = worker.take()
    store.cancel(job_id)
    assert worker.settle(job, OK) == []
    assert state(store, job_id) is State.SUCCEEDED


@pytest.mark.parametrize(
    ("outcome", "verb"),
    [(ERROR, "retry"), (Snoozed(9), "snooze"), (Released("drained"), "release")],
)
def test_a_job_told_to_end_does_not_come_back(
    store: Store, clock: SettableClock, outcome: AttemptOutcome, verb: str
) -> None:
    """Given back for another attempt, with its time, it is cancelled in the same transaction."""
    job_id = put(store)
    worker = Worker(store)
    job = worker.take()
    store.cancel(job_id, reason="enough")
    clock.advance(1)
    worker.settle(job, outcome)
    assert the(store, job_id).run_at >= the(store, job_id).enqueued_at + 1000
    assert state(store, job_id) is State.CANCELLED
    assert story(store, job_id) == ["enqueue", "claim", verb, "cancel"]
    assert the(store, job_id).error == {"type": "Cancelled", "message": "enough"}
    assert len(store.attempts(job_id)) == 1


def test_a_job_told_to_end_whose_worker_is_lost(store: Store) -> None:
    """The rescue cancels it: nobody asked for another attempt."""
    job_id = put(store)
    worker = Worker(store)
    worker.take()
    store.cancel(job_id, reason="enough")
    assert store.rescue(worker.id, reason="gone", expired_only=False) == 1
    job = the(store, job_id)
    assert (job.state, job.outcome) == (State.CANCELLED, "lost")
    assert job.error == {"type": "Cancelled", "message": "enough"}
    assert story(store, job_id) == ["enqueue", "claim", "rescue"]
    assert store.events(job_id=job_id)[-1].data["state"] == "cancelled"


def test_a_job_told_to_end_whose_worker_retires(store: Store) -> None:
    """What a stopping worker still held and had been told to end is cancelled."""
    job_id = put(store)
    worker = Worker(store)
    worker.take()
    store.cancel(job_id)
    store.retire(worker.id)
    assert state(store, job_id) is State.CANCELLED


@pytest.mark.parametrize("ended", FINAL)
def test_what_has_ended_cannot_be_cancelled(store: Store, ended: State) -> None:
    """`Conflict`, naming the state; nothing is changed."""
    job_id = a_job_in(ended, store)
    with nothing_changed(store), pytest.raises(Conflict, match=ended):
        store.cancel(job_id)


@pytest.mark.parametrize("nobody", [NOBODY, 0, -1, ENDLESS, -ENDLESS])
def test_a_job_that_is_not_there(store: Store, nobody: int) -> None:
    """`NotFound`, for any number at all; nothing is changed."""
    with nothing_changed(store), pytest.raises(NotFound):
        store.cancel(nobody)


def test_a_cancelled_job_frees_its_unique_key(store: Store) -> None:
    """Its key may be used again at once."""
    job_id = put(store, unique="k")
    store.cancel(job_id)
    assert put(store, unique="k") != job_id


def test_what_waits_for_a_cancelled_job_is_cancelled_with_it(store: Store) -> None:
    """Near and far, each once, and told which job it waited for; the rest goes on."""
    root, free = put(store), put(store)
    left, right = put(store, after=[root]), put(store, after=[root, free])
    tip = put(store, after=[left, right])
    bystander = put(store, after=[free])
    store.cancel(root)
    assert {state(store, id) for id in (root, left, right, tip)} == {State.CANCELLED}
    assert [story(store, id) for id in (root, left, right, tip)] == [["enqueue", "cancel"]] * 4
    assert store.events(job_id=left)[-1].data["reason"] == f"job {root} cancelled"
    assert store.events(job_id=tip)[-1].data["reason"] == f"job {left} cancelled"
    assert [state(store, id) for id in (free, bystander)] == [State.AVAILABLE, State.BLOCKED]


def test_a_blocked_job_is_forgotten_by_those_it_waited_for(store: Store) -> None:
    """The job it waited for goes on, and ends without it."""
    first = put(store)
    second = put(store, after=[first])
    store.cancel(second)
    assert Worker(store).run(OK).id == first
    assert (state(store, first), state(store, second)) == (State.SUCCEEDED, State.CANCELLED)


def test_a_chain_of_any_length_is_cancelled(store: Store, backend: Backend) -> None:
    """Hundreds of jobs, each after the last: cancelling the first cancels all."""
    chain = [put(store)]
    for _ in range(700 if backend.name == "sqlite" else 100):  # a statement is a round trip there
        chain.append(put(store, after=[chain[-1]]))
    store.cancel(chain[0])
    assert store.counts()[State.CANCELLED] == len(chain)
    assert story(store, chain[-1]) == ["enqueue", "cancel"]


def test_a_job_lost_and_told_keeps_count(store: Store) -> None:
    """Its last attempt is on record as lost."""
    job_id = put(store)
    worker = Worker(store)
    job = worker.take()
    store.cancel(job_id)
    worker.settle(job, LOST)
    assert (the(store, job_id).lost, store.attempts(job_id)[0].outcome) == (1, "lost")
