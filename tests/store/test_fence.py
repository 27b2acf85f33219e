"""Every write of a worker carries (job id, attempt, worker id); what is not its own stays."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.store.hands import (
    ERROR,
    FATAL,
    LOST,
    NOBODY,
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
from workhorse.domain.events import Output, OutputLine
from workhorse.domain.job import Claimed, State
from workhorse.domain.outcome import (
    AttemptOutcome,
    Cancelled,
    Completed,
    Crashed,
    Rejected,
    Released,
    Snoozed,
    TimedOut,
)
from workhorse.store.protocol import Retention, Settled, Store

OUTCOMES: dict[str, AttemptOutcome] = {
    "ok": OK,
    "result": Completed('"late"'),
    "error": ERROR,
    "permanent": FATAL,
    "rejected": Rejected("no"),
    "snoozed": Snoozed(1),
    "timed out": TimedOut(1),
    "cancelled": Cancelled(),
    "released": Released("drained"),
    "crashed": Crashed(7),
}


def overtake(store: Store, clock: SettableClock) -> tuple[Worker, Claimed, Worker, Claimed]:
    """Let a worker fall silent and another take over its job."""
    put(store)
    late = Worker(store, lease=10)
    old = late.take()
    clock.advance(11)
    assert store.rescue(late.id, reason="its lease ran out") == 1
    store.promote()
    successor = Worker(store)
    return late, old, successor, successor.take()


@pytest.mark.parametrize("outcome", OUTCOMES.values(), ids=OUTCOMES)
def test_a_late_worker_changes_nothing(
    store: Store, clock: SettableClock, outcome: AttemptOutcome
) -> None:
    """While another runs the job, the first one's answer is refused, whatever it is."""
    late, old, _, new = overtake(store, clock)
    assert (old.id, old.attempt, new.attempt) == (new.id, 1, 2)
    with nothing_changed(store):
        assert late.settle(old, outcome) == [(old.id, 1)]


@pytest.mark.parametrize("outcome", OUTCOMES.values(), ids=OUTCOMES)
def test_one_result_is_recorded(
    store: Store, clock: SettableClock, outcome: AttemptOutcome
) -> None:
    """Once the successor has finished, the late answer changes nothing either."""
    late, old, successor, new = overtake(store, clock)
    assert successor.settle(new, Completed('"mine"')) == []
    with nothing_changed(store):
        assert late.settle(old, outcome) == [(old.id, 1)]
    assert the(store, old.id).result == '"mine"'


def test_late_output_is_dropped(store: Store, clock: SettableClock) -> None:
    """Lines and progress of an attempt that is no longer the worker's are not kept."""
    late, old, _, _ = overtake(store, clock)
    lines = [
        OutputLine(old.id, old.attempt, Output.LOG, '{"message":"late"}'),
        OutputLine(old.id, old.attempt, Output.PROGRESS, '{"percent":99,"message":"late"}'),
    ]
    with nothing_changed(store):
        late.turn(output=lines)


def changed(fence: str, job: Claimed, worker: Worker) -> Settled:
    """Return the end of an attempt with one part of its fence wrong."""
    right = settled(job, OK)
    match fence:
        case "job":
            return right._replace(id=NOBODY)
        case "earlier attempt":
            return right._replace(attempt=job.attempt - 1)
        case "later attempt":
            return right._replace(attempt=job.attempt + 1)
        case _:
            worker.id = NOBODY
            return right


@pytest.mark.parametrize("fence", ["job", "earlier attempt", "later attempt", "worker"])
def test_each_part_of_the_fence_counts(store: Store, fence: str) -> None:
    """With one part wrong nothing is written, and the caller is told."""
    put(store)
    worker = Worker(store)
    worker.run(Released("again"))
    job = worker.take()
    wrong = changed(fence, job, worker)
    with nothing_changed(store):
        assert worker.turn([wrong]).stale == [(wrong.id, wrong.attempt)]


@pytest.mark.parametrize(
    ("end", "after"),
    [
        (Snoozed(5), State.SCHEDULED),
        (Released("drained"), State.AVAILABLE),
        (OK, State.SUCCEEDED),
        (FATAL, State.FAILED),
        (Cancelled(), State.CANCELLED),
    ],
)
def test_what_does_not_run_cannot_be_settled(
    store: Store, end: AttemptOutcome, after: State
) -> None:
    """Only a running job is settled; another answer for one that left that state is stale."""
    put(store)
    worker = Worker(store)
    job = worker.run(end)
    assert state(store, job.id) is after
    with nothing_changed(store):
        assert worker.settle(job, TimedOut(1)) == [(job.id, 1)]


@pytest.mark.parametrize("outcome", OUTCOMES.values(), ids=OUTCOMES)
def test_a_lost_reply_is_no_lost_lease(store: Store, outcome: AttemptOutcome) -> None:
    """An attempt that was recorded and is settled again, just so, is not stale, and not twice."""
    put(store)
    worker = Worker(store)
    job = worker.take()
    assert worker.settle(job, outcome) == []
    with nothing_changed(store):
        assert worker.settle(job, outcome) == []


def test_a_lost_reply_is_known_much_later(store: Store) -> None:
    """Also when the job has gone on meanwhile, and when it has been requeued since."""
    job_id = put(store, max_attempts=2)
    worker = Worker(store)
    first = worker.run(Released("drained"))
    second = worker.run(FATAL)
    store.requeue(job_id)
    worker.take()
    with nothing_changed(store):
        assert worker.settle(first, Released("drained")) == []
        assert worker.settle(second, FATAL) == []


def test_a_second_opinion_is_stale(store: Store) -> None:
    """The same attempt with another outcome than the one recorded is refused."""
    put(store)
    worker = Worker(store)
    job = worker.run(Completed("1"))
    with nothing_changed(store):
        assert worker.settle(job, ERROR) == [(job.id, 1)]


def test_the_same_end_twice_in_one_turn(store: Store) -> None:
    """It counts once and nobody is told of a lost lease; with two opinions, one is refused."""
    put_many(store, 2)
    worker = Worker(store)
    first, second = worker.claim()
    assert worker.turn([settled(first, OK), settled(first, OK)]).stale == []
    assert worker.turn([settled(second, OK), settled(second, ERROR)]).stale == [(second.id, 1)]
    assert [story(store, job.id) for job in (first, second)] == [
        ["enqueue", "claim", "complete"]
    ] * 2


def test_a_stale_end_does_not_hold_up_the_others(store: Store, clock: SettableClock) -> None:
    """In one turn the stale ones are named and the good ones are written."""
    late, old, _, _ = overtake(store, clock)
    late.id = Worker(store).id  # it has begun again
    put_many(store, 3)
    good = late.claim()
    turn = late.turn([settled(good[0], OK), settled(old, OK), settled(good[1], ERROR)])
    assert turn.stale == [(old.id, old.attempt)]
    assert [state(store, job.id) for job in good] == ["succeeded", "scheduled", "running"]


def test_a_lease_that_ran_out_unnoticed_still_counts(store: Store, clock: SettableClock) -> None:
    """The row decides: until somebody rescued the job, its worker's answer is good."""
    job_id = put(store)
    worker = Worker(store, lease=1)
    job = worker.take()
    clock.advance(3600)
    assert worker.settle(job, Completed("1")) == []
    assert state(store, job_id) is State.SUCCEEDED
    assert store.rescue(worker.id, reason="late") == 0
    assert (state(store, job_id), the(store, job_id).lost) == (State.SUCCEEDED, 0)


def test_the_attempt_number_only_grows(store: Store, clock: SettableClock) -> None:
    """Over every way back to the queue each attempt has a number higher than the last."""
    job_id = put(store, max_attempts=2)
    worker = Worker(store)
    seen = [worker.run(Released("drained")).attempt, worker.run(Snoozed(0)).attempt]
    store.promote()
    seen.append(worker.run(ERROR).attempt)
    clock.advance(10)
    store.promote()
    seen.append(worker.take().attempt)
    store.rescue(worker.id, reason="gone", expired_only=False)
    worker = Worker(store)
    seen.append(worker.run(FATAL).attempt)
    store.requeue(job_id)
    seen.append(worker.take().attempt)
    store.cancel(job_id)
    worker.settle(store.held(worker.id)[0], Cancelled())
    store.requeue(job_id)
    seen.append(worker.take().attempt)
    assert seen == [1, 2, 3, 4, 5, 6, 7]


def forget(store: Store, job: Claimed, clock: SettableClock) -> None:
    store.delete(job.id)


def prune(store: Store, job: Claimed, clock: SettableClock) -> None:
    clock.advance(10)
    assert store.prune(Retention(succeeded=1)) == 1


@pytest.mark.parametrize("end", [forget, prune])
def test_an_answer_for_a_job_that_is_gone_is_stale(
    store: Store, clock: SettableClock, end: Callable[[Store, Claimed, SettableClock], None]
) -> None:
    """A job that was deleted or pruned does not come back by a late answer."""
    put(store)
    worker = Worker(store)
    job = worker.run(OK)
    end(store, job, clock)
    with nothing_changed(store):
        assert worker.settle(job, OK) == [(job.id, 1)]
    assert store.get(job.id) is None


def test_a_rescue_is_not_forged_by_its_worker(store: Store, clock: SettableClock) -> None:
    """What a worker held when it retired was released once; its own late answer is stale."""
    put(store)
    worker = Worker(store)
    job = worker.take()
    store.retire(worker.id)
    with nothing_changed(store):
        assert worker.settle(job, OK) == [(job.id, 1)]
        assert worker.settle(job, LOST) == [(job.id, 1)]
