"""What becomes of the jobs of a dead child: a table."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.domain.build import a_job
from workhorse.domain.outcome import AttemptOutcome, Cancelled, Crashed, Released, TimedOut
from workhorse.engine.autopsy import Death, autopsy
from workhorse.engine.board import NEVER, Mark, Slot
from workhorse.store.protocol import CancelRequest

NOW = 100.0
LATER, EARLIER = NOW + 1, NOW - 1
KILLED = Death(exit_signal="SIGKILL")
EXITED = Death(exit_code=0)
PLANNED = Death(exit_code=0, planned="its worker was told to stop")
ALONE = Released("its process died (SIGKILL)")
SUSPECT = Released("its process died (SIGKILL) with 2 jobs in or under it", solo=True)
JOB = a_job()
"""Attempt 1 of job 7, with a time limit of 60 s."""


def slot(
    mark: Mark = Mark.NONE, deadline: float = NEVER, *, job: int = 7, attempt: int = 1
) -> Slot:
    return Slot(job, attempt, mark, deadline)


TABLE: dict[str, tuple[Death, list[Slot], AttemptOutcome]] = {
    "alone in a crash: guilty": (KILLED, [slot()], Crashed(None, "SIGKILL")),
    "alone when it exits, even with 0: guilty": (EXITED, [slot()], Crashed(0, None)),
    "in time, and alone: guilty": (KILLED, [slot(deadline=LATER)], Crashed(None, "SIGKILL")),
    "two in a crash: suspects": (KILLED, [slot(), slot(job=8)], SUSPECT),
    "beside one in a process of its own, which may have killed it: a suspect": (
        KILLED,
        [slot(), slot(Mark.APART, job=8)],
        SUSPECT,
    ),
    "beside such ones that were told to end, or had to: guilty": (
        KILLED,
        [
            slot(),
            *(slot(Mark.APART | told, job=8) for told in (Mark.CANCELLED, Mark.RELEASED)),
            slot(Mark.APART, EARLIER, job=9),
        ],
        Crashed(None, "SIGKILL"),
    ),
    "beside one that was told to end: guilty": (
        KILLED,
        [slot(), slot(Mark.CANCELLED, job=8)],
        Crashed(None, "SIGKILL"),
    ),
    "in a process of its own, and nothing else there: a suspect": (
        KILLED,
        [slot(Mark.APART), slot(Mark.APART, job=8), slot(Mark.CANCELLED, job=9)],
        replace(ALONE, solo=True),
    ),
    "in a process of its own, beside a suspect: counted": (
        KILLED,
        [slot(Mark.APART), slot(job=8)],
        replace(ALONE, gone=True),
    ),
    "over its time": (KILLED, [slot(deadline=EARLIER)], TimedOut(60.0)),
    "over its time, and its end was wanted": (PLANNED, [slot(deadline=NOW)], TimedOut(60.0)),
    "told that its time is over": (KILLED, [slot(Mark.TIMED_OUT, LATER)], TimedOut(60.0)),
    "cancelled": (KILLED, [slot(Mark.CANCELLED)], Cancelled()),
    "cancelled, then over its time": (KILLED, [slot(Mark.CANCELLED, EARLIER)], Cancelled()),
    "told to end by a drain": (KILLED, [slot(Mark.RELEASED)], ALONE),
    "its end was wanted": (PLANNED, [slot()], Released("its worker was told to stop")),
}


@pytest.mark.parametrize(("death", "slots", "outcome"), TABLE.values(), ids=TABLE)
def test_how_a_job_of_a_dead_child_ended(
    death: Death, slots: list[Slot], outcome: AttemptOutcome
) -> None:
    """Blame needs evidence: alone in a process that died although nobody wanted it to."""
    assert autopsy([JOB], slots, death, NOW) == [(JOB, outcome)]


@pytest.mark.parametrize("slots", [[], [slot(attempt=2)], [slot(job=8)]])
def test_a_job_that_did_not_run_is_released(slots: list[Slot]) -> None:
    """Claimed but not begun, or over but not settled: it runs again, and is not blamed."""
    ((job, outcome),) = autopsy([JOB], slots, KILLED, NOW)
    assert job is JOB
    assert isinstance(outcome, Released)
    assert not outcome.solo
    assert "had not started, or its end was not yet written down" in outcome.reason


@pytest.mark.parametrize(("death", "counts"), [(EXITED, True), (KILLED, False), (PLANNED, False)])
def test_a_job_of_a_child_that_ends_in_order_unasked_counts(death: Death, *, counts: bool) -> None:
    """What ended it may have run there, and be over: again and again it would cost nothing."""
    ((_, outcome),) = autopsy([JOB], [], death, NOW)
    assert isinstance(outcome, Released)
    assert outcome.gone is counts


def test_a_job_that_ran_alone_in_a_process_of_its_own_is_guilty() -> None:
    """It has killed the process above its own: nothing else was there."""
    job = a_job(solo=True)
    assert autopsy([job], [slot(Mark.APART)], KILLED, NOW) == [(job, Crashed(None, "SIGKILL"))]


def test_a_job_whose_cancel_the_child_never_saw_is_cancelled() -> None:
    """A child stuck in a handler cannot look; the store knows that it was to be cancelled."""
    job = a_job(cancel_requested=True)
    assert autopsy([job], [slot()], PLANNED, NOW) == [(job, Cancelled())]
    asked = [CancelRequest(job.id, job.attempt, 0, "enough")]
    assert autopsy([job], [slot()], PLANNED, NOW, asked) == [(job, Cancelled("enough"))]


def test_nothing_held_is_nothing_to_settle() -> None:
    """A child that held nothing leaves nothing."""
    assert autopsy([], [], KILLED, NOW) == []
