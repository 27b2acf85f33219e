"""complete, retry, snooze, release, fail: running → what the outcome makes of it."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from tests.store.hands import (
    ERROR,
    FATAL,
    OK,
    SettableClock,
    Worker,
    put,
    put_many,
    settled,
    state,
    story,
    the,
)
from workhorse.domain.job import Outcome, State
from workhorse.domain.outcome import (
    AttemptOutcome,
    Cancelled,
    Completed,
    Crashed,
    Failed,
    Failure,
    Rejected,
    Released,
    Snoozed,
    TimedOut,
)
from workhorse.domain.retry import Backoff
from workhorse.domain.transitions import CRASH_LIMIT
from workhorse.store.protocol import Store

STEADY = Backoff(base=10, factor=1, cap=10, jitter=0)


class End(NamedTuple):
    """What one outcome makes of a job that has a budget of two."""

    outcome: AttemptOutcome
    verb: str
    state: State
    name: Outcome
    failures: int = 0
    crashes: int = 0


ENDS = {
    "ok": End(OK, "complete", State.SUCCEEDED, Outcome.OK),
    "ok with a result": End(Completed('{"n":1}'), "complete", State.SUCCEEDED, Outcome.OK),
    "error": End(ERROR, "retry", State.SCHEDULED, Outcome.ERROR, 1),
    "permanent error": End(FATAL, "fail", State.FAILED, Outcome.ERROR, 1),
    "out of memory": End(
        Failed(Failure("MemoryError", "no room"), out_of_memory=True),
        "retry",
        State.SCHEDULED,
        Outcome.OUT_OF_MEMORY,
        1,
    ),
    "rejected": End(Rejected("never"), "fail", State.FAILED, Outcome.REJECTED, 1),
    "timed out": End(TimedOut(3), "retry", State.SCHEDULED, Outcome.TIMED_OUT, 1),
    "crashed": End(Crashed(exit_signal="SIGSEGV"), "retry", State.SCHEDULED, Outcome.CRASHED, 1, 1),
    "snoozed": End(Snoozed(10, "too early"), "snooze", State.SCHEDULED, Outcome.SNOOZED),
    "released": End(Released("drained"), "release", State.AVAILABLE, Outcome.RELEASED),
    "cancelled": End(Cancelled(), "cancel", State.CANCELLED, Outcome.CANCELLED),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_an_outcome_ends_an_attempt(store: Store, clock: SettableClock, end: End) -> None:
    """State, counters, the attempt's record and the event tell the same; nobody holds the job."""
    job_id = put(store, max_attempts=2, backoff=STEADY)
    worker = Worker(store)
    started = clock.now
    job = worker.take()
    clock.advance(2)
    assert worker.settle(job, end.outcome) == []
    after = the(store, job_id)
    assert (after.state, after.outcome) == (end.state, end.name)
    assert (after.failures, after.crashes, after.lost) == (end.failures, end.crashes, 0)
    assert after.is_finished == (after.finished_at == clock.now)
    assert store.held(worker.id) == []
    (attempt,) = store.attempts(job_id)
    assert (attempt.attempt, attempt.worker, attempt.outcome) == (1, worker.id, end.name)
    assert (attempt.started_at, attempt.finished_at) == (started, clock.now)
    assert story(store, job_id) == ["enqueue", "claim", end.verb]
    event = store.events(job_id=job_id)[-1]
    assert (event.attempt, event.worker, event.at) == (1, worker.id, clock.now)
    assert event.data["outcome"] == end.name


def test_a_result_is_kept(store: Store) -> None:
    """The text a handler returned is the job's; one that returned nothing has none."""
    first, second = put_many(store, 2)
    worker = Worker(store)
    worker.run(Completed('["a", 1]'))
    worker.run(Completed(None))
    assert (the(store, first).result, the(store, second).result) == ('["a", 1]', None)


def test_the_error_is_kept_with_its_attempt(store: Store, clock: SettableClock) -> None:
    """Each attempt keeps its own error, the job that of the last attempt that had one."""
    job_id = put(store, backoff=STEADY)
    worker = Worker(store)
    worker.run(Failed(Failure("KeyError", "first", "Traceback …")))
    clock.advance(10)
    store.promote()
    worker.run(Rejected("second"))
    first, second = store.attempts(job_id)
    assert first.error == {"type": "KeyError", "message": "first", "traceback": "Traceback …"}
    assert second.error == {"type": "Reject", "message": "second"}
    assert the(store, job_id).error == second.error


def test_a_success_after_a_failure(store: Store, clock: SettableClock) -> None:
    """The attempt that succeeded has no error; the job still tells what went wrong before."""
    job_id = put(store, backoff=STEADY)
    worker = Worker(store)
    worker.run(ERROR)
    clock.advance(10)
    store.promote()
    worker.run(Completed("7"))
    job = the(store, job_id)
    assert (job.state, job.outcome, job.result, job.failures) == ("succeeded", "ok", "7", 1)
    assert job.error is not None
    assert [(a.attempt, a.outcome, a.error is None) for a in store.attempts(job_id)] == [
        (1, "error", False),
        (2, "ok", True),
    ]


@pytest.mark.parametrize(
    ("outcome", "wait"), [(ERROR, 10.0), (Snoozed(0.25), 0.25), (Snoozed(0), 0.0)]
)
def test_what_is_put_off_is_due_at_its_time(
    store: Store, clock: SettableClock, outcome: AttemptOutcome, wait: float
) -> None:
    """A retry or a snooze comes back when its time has come, and not a millisecond before."""
    job_id = put(store, backoff=STEADY)
    Worker(store).run(outcome)
    assert the(store, job_id).run_at == clock.now + round(wait * 1000)
    if wait:
        clock.advance(wait - 0.001)
        assert store.promote() == (0, 1)
        clock.advance(0.001)
    assert store.promote() == (1, None)
    assert state(store, job_id) is State.AVAILABLE


def test_the_budget_is_spent_by_failures_alone(store: Store) -> None:
    """Releases and snoozes, however many, cost nothing; the attempt number grows with each."""
    job_id = put(store, max_attempts=1)
    worker = Worker(store)
    for _ in range(15):
        worker.run(Released("drained"))
        worker.run(Snoozed(0))
        store.promote()
    job = the(store, job_id)
    assert (job.state, job.attempt, job.failures) == (State.AVAILABLE, 30, 0)
    worker.run(ERROR)
    job = the(store, job_id)
    assert (job.state, job.attempt, job.failures) == (State.FAILED, 31, 1)
    assert [attempt.attempt for attempt in store.attempts(job_id)] == list(range(1, 32))


def test_a_spent_budget_is_a_dead_letter(store: Store, clock: SettableClock) -> None:
    """As many failures as the budget has, and the job has failed, with the reasons of each."""
    job_id = put(store, max_attempts=3, backoff=STEADY)
    worker = Worker(store)
    for failures in (1, 2, 3):
        worker.run(ERROR)
        assert the(store, job_id).failures == failures
        clock.advance(10)
        store.promote()
    assert state(store, job_id) is State.FAILED
    assert story(store, job_id)[-1] == "fail"
    assert [attempt.outcome for attempt in store.attempts(job_id)] == ["error"] * 3


def test_a_job_that_crashes_its_process_is_poison(store: Store, clock: SettableClock) -> None:
    """After one crash it runs alone; after three it has failed, whatever is left of its budget."""
    job_id = put(store, max_attempts=100, backoff=STEADY)
    worker = Worker(store)
    crash = Crashed(exit_code=None, exit_signal="SIGKILL")
    for number in range(1, CRASH_LIMIT + 1):
        worker.run(crash, solo=number > 1)
        job = the(store, job_id)
        assert (job.crashes, job.solo) == (number, True)
        clock.advance(10)
        store.promote()
    assert (job.state, job.outcome) == (State.FAILED, Outcome.CRASHED)
    assert job.error is not None
    assert job.error["exit_signal"] == "SIGKILL"


def test_a_finished_job_says_whether_it_ran_alone(store: Store, clock: SettableClock) -> None:
    """It is told of the attempt that ended the job, and not of one that might have followed."""
    crash = Crashed(exit_code=1)
    first = put(store, max_attempts=1)
    worker = Worker(store, lease=100)
    worker.run(crash)
    assert (state(store, first), the(store, first).solo) == (State.FAILED, False)
    for outcome in (OK, Completed("1"), Rejected("no"), Cancelled("on request")):
        job_id = put(store, max_attempts=2, backoff=STEADY)
        worker.run(crash)
        clock.advance(10)
        store.promote()
        worker.run(outcome, solo=True)
        assert (the(store, job_id).is_finished, the(store, job_id).solo) == (True, True)


def test_many_ends_in_one_turn(store: Store) -> None:
    """Each of many attempts that end together takes its own edge."""
    ids = put_many(store, 44, max_attempts=2)
    worker = Worker(store)
    ends = list(ENDS.values()) * 4
    claimed = worker.claim()
    turn = worker.turn([settled(job, end.outcome) for job, end in zip(claimed, ends, strict=True)])
    assert turn.stale == []
    assert [state(store, id) for id in ids] == [end.state for end in ends]
    assert [story(store, id)[-1] for id in ids] == [end.verb for end in ends]
    assert store.held(worker.id) == []


def test_a_thousand_ends_in_one_turn(store: Store) -> None:
    """A turn may be as large as it likes: what has ended while the store was away comes at once."""
    ids = put_many(store, 1000)
    worker = Worker(store)
    turn = worker.turn(
        [settled(job, Completed(str(job.id)) if job.id % 2 else OK) for job in worker.claim()]
    )
    assert turn.stale == []
    assert {state(store, id) for id in ids} == {State.SUCCEEDED}
    assert all(the(store, id).result == (str(id) if id % 2 else None) for id in ids)


def test_attempts_of_different_numbers_end_together(store: Store) -> None:
    """First and later attempts share a turn; each is settled under its own number."""
    ids = put_many(store, 6)
    worker = Worker(store)
    for rounds in range(3):
        claimed = worker.claim()
        again = [job for job in claimed if job.id % 3 > rounds]
        worker.turn([settled(job, Released("again") if job in again else OK) for job in claimed])
    jobs = [the(store, id) for id in ids]
    assert {job.state for job in jobs} == {State.SUCCEEDED}
    assert [job.attempt for job in jobs] == [id % 3 + 1 for id in ids]


def test_what_ended_is_gone_from_the_unfinished(store: Store) -> None:
    """A job is either unfinished or in the history: it is listed once, in one state."""
    put_many(store, 3)
    worker = Worker(store)
    worker.run(OK)
    worker.run(FATAL)
    counts = store.counts()
    assert {state: n for state, n in counts.items() if n} == {
        State.AVAILABLE: 1,
        State.SUCCEEDED: 1,
        State.FAILED: 1,
    }
