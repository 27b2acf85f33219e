"""What becomes of the jobs of a child that is dead: pure, from what is known of its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from workhorse.domain.job import Claimed
from workhorse.domain.outcome import (
    ON_REQUEST,
    AttemptOutcome,
    Cancelled,
    Crashed,
    Released,
    TimedOut,
)
from workhorse.engine.board import Mark, Slot
from workhorse.store.protocol import CancelRequest


class Death(NamedTuple):
    """How a child ended. `planned` is the reason when its end was wanted, by it or by us."""

    exit_code: int | None = None
    exit_signal: str | None = None
    planned: str | None = None


def autopsy(
    held: Sequence[Claimed],
    slots: Sequence[Slot],
    death: Death,
    at: float,
    asked: Sequence[CancelRequest] = (),
) -> list[tuple[Claimed, AttemptOutcome]]:
    """Return how each job the dead child still held has ended its attempt.

    A job that was over its time or told to end has ended so. After a planned end the rest is
    released. After a crash, the one job that ran in the process is guilty if none ran in a process
    of its own, which may have killed the one above it. Otherwise each that ran in the process is a
    suspect, not blamed, and will run alone; when there were none, those that ran in processes of
    their own are. One that did run alone is guilty. What else the process held is released, which
    counts when it has ended in order: what it ran may have seen to that, and have ended itself.
    `at` is the local clock; `asked` says why those were told to end that were.
    """
    running = {(slot.job_id, slot.attempt): slot for slot in slots}
    reasons = {(one.id, one.attempt): one.reason for one in asked}
    suspects = [slot for slot in slots if _could_have_killed(slot, at)]
    ended: list[tuple[Claimed, AttemptOutcome]] = []
    for job in held:
        key = (job.id, job.attempt)
        why = reasons.get(key, ON_REQUEST)
        ended.append((job, _outcome(job, running.get(key), death, suspects, at, cancelled=why)))
    return ended


def _could_have_killed(slot: Slot, at: float) -> bool:
    told = slot.mark & (Mark.TIMED_OUT | Mark.CANCELLED | Mark.RELEASED)
    return not told and at < slot.deadline


def _outcome(
    job: Claimed,
    slot: Slot | None,
    death: Death,
    suspects: Sequence[Slot],
    at: float,
    *,
    cancelled: str,
) -> AttemptOutcome:
    how = death.planned or f"its process died ({death.exit_signal or death.exit_code})"
    if slot is None:
        why = f"{how}; the job had not started, or its end was not yet written down"
        return Released(why, gone=death.planned is None and death.exit_code is not None)
    if slot.mark & Mark.CANCELLED or job.cancel_requested:
        return Cancelled(cancelled)
    if slot.mark & Mark.TIMED_OUT or at >= slot.deadline:
        return TimedOut(job.timeout or 0.0)
    if death.planned or slot.mark & Mark.RELEASED:
        return Released(how)
    if slot.mark & Mark.APART and not job.solo:
        inside = not all(one.mark & Mark.APART for one in suspects)
        return Released(how, solo=not inside, gone=inside)
    if job.solo or len(suspects) == 1:
        return Crashed(death.exit_code, death.exit_signal)
    return Released(f"{how} with {len(suspects)} jobs in or under it", solo=True)
