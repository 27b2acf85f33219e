"""A job's life: twelve edges as data, and the one rule that picks an edge from an outcome.

The verbs here are the words used in the store, the SQL, the events and the tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple, assert_never

from workhorse.domain.job import UNFINISHED, Claimed, Outcome, State
from workhorse.domain.outcome import (
    AttemptOutcome,
    Cancelled,
    Completed,
    Crashed,
    Failed,
    Failure,
    Lost,
    Rejected,
    Released,
    Snoozed,
    TimedOut,
)
from workhorse.domain.retry import MAX_DELAY

CRASH_LIMIT: Final = 3
"""Crashes with evidence after which a job is poison and fails."""
LOST_BEFORE_SOLO: Final = 2
"""Lost leases, or processes, after which a job runs alone in its process."""
LOST_LIMIT: Final = 10
"""Lost leases after which a job fails, evidence or not; lost processes count, as far as they have
made it run alone."""


class Verb(StrEnum):
    """The name of an edge."""

    ENQUEUE = "enqueue"
    PROMOTE = "promote"
    UNBLOCK = "unblock"
    CLAIM = "claim"
    COMPLETE = "complete"
    RETRY = "retry"
    SNOOZE = "snooze"
    RELEASE = "release"
    FAIL = "fail"
    CANCEL = "cancel"
    RESCUE = "rescue"
    REQUEUE = "requeue"


class Edge(NamedTuple):
    """One verb, the states it leaves and those it may reach. No source: the job is new."""

    verb: Verb
    sources: tuple[State, ...]
    targets: tuple[State, ...]


EDGES: Final[Mapping[Verb, Edge]] = {
    edge.verb: edge
    for edge in (
        Edge(Verb.ENQUEUE, (), (State.AVAILABLE, State.SCHEDULED, State.BLOCKED)),
        Edge(Verb.PROMOTE, (State.SCHEDULED,), (State.AVAILABLE,)),
        Edge(Verb.UNBLOCK, (State.BLOCKED,), (State.AVAILABLE,)),
        Edge(Verb.CLAIM, (State.AVAILABLE,), (State.RUNNING,)),
        Edge(Verb.COMPLETE, (State.RUNNING,), (State.SUCCEEDED,)),
        Edge(Verb.RETRY, (State.RUNNING,), (State.SCHEDULED,)),
        Edge(Verb.SNOOZE, (State.RUNNING,), (State.SCHEDULED,)),
        Edge(Verb.RELEASE, (State.RUNNING,), (State.AVAILABLE,)),
        Edge(Verb.FAIL, (State.RUNNING,), (State.FAILED,)),
        Edge(Verb.CANCEL, UNFINISHED, (State.CANCELLED,)),
        Edge(
            Verb.RESCUE,
            (State.RUNNING,),
            (State.AVAILABLE, State.SCHEDULED, State.FAILED, State.CANCELLED),
        ),
        Edge(Verb.REQUEUE, (State.FAILED, State.CANCELLED), (State.AVAILABLE,)),
    )
}


class Change(NamedTuple):
    """What one ended attempt does to its job: the edge, and the facts written with it.

    `delay` is in seconds from the store's clock, for edges to `scheduled`. `failures`,
    `crashes` and `lost` are increments. `solo` is what the next attempt shall be.
    """

    verb: Verb
    state: State
    outcome: Outcome
    result: str | None = None
    error: Mapping[str, Any] | None = None
    delay: float = 0.0
    failures: int = 0
    crashes: int = 0
    lost: int = 0
    solo: bool = False


_DONE: Final = Change(Verb.COMPLETE, State.SUCCEEDED, Outcome.OK)


def settle(job: Claimed, outcome: AttemptOutcome, *, chance: float = 0.5) -> Change:
    """Return the edge that ends this attempt of `job`. Pure, and total over outcomes.

    `chance` (0 to 1) places the backoff within its jitter.
    """
    match outcome:
        case Completed(None):
            return _DONE
        case Completed(result):
            return Change(Verb.COMPLETE, State.SUCCEEDED, Outcome.OK, result)
        case Failed(failure, permanent=permanent, out_of_memory=out_of_memory):
            name = Outcome.OUT_OF_MEMORY if out_of_memory else Outcome.ERROR
            return _spend(job, name, failure.as_row(), chance, final=permanent)
        case Rejected(reason):
            return _spend(job, Outcome.REJECTED, _row("Reject", reason), chance, final=True)
        case TimedOut(limit):
            error = _row("TimedOut", f"The attempt was over its limit of {limit:g} s.")
            return _spend(job, Outcome.TIMED_OUT, error, chance)
        case Crashed() as crash:
            error = crash.failure.as_row(exit_code=crash.exit_code, exit_signal=crash.exit_signal)
            name = Outcome.OUT_OF_MEMORY if crash.out_of_memory else Outcome.CRASHED
            final = job.crashes + 1 >= CRASH_LIMIT
            return _spend(job, name, error, chance, final=final)._replace(crashes=1, solo=True)
        case Snoozed(delay, reason):
            why = _row("Snooze", reason) if reason else None
            wait = min(max(0.0, delay), MAX_DELAY)
            return Change(Verb.SNOOZE, State.SCHEDULED, Outcome.SNOOZED, error=why, delay=wait)
        case Cancelled(reason):
            error = _row("Cancelled", reason)
            return Change(Verb.CANCEL, State.CANCELLED, Outcome.CANCELLED, error=error)
        case Released(reason, solo, gone):
            error = _row("Released", reason)
            lost = int(gone and job.lost < LOST_BEFORE_SOLO)  # no more: they alone fail no job
            alone = solo or job.solo or (gone and job.lost + lost >= LOST_BEFORE_SOLO)
            change = Change(Verb.RELEASE, State.AVAILABLE, Outcome.RELEASED, error=error)
            return change._replace(lost=lost, solo=alone)
        case Lost(reason):
            return _rescue(job, reason, chance)
        case _:
            assert_never(outcome)


def _row(name: str, message: str) -> dict[str, Any]:
    return Failure(name, message).as_row()


def _spend(
    job: Claimed, outcome: Outcome, error: dict[str, Any], chance: float, *, final: bool = False
) -> Change:
    """End an attempt that costs one of the budget: again later, or failed for good."""
    failures = job.failures + 1
    if final or failures >= job.max_attempts:
        return Change(Verb.FAIL, State.FAILED, outcome, error=error, failures=1)
    delay = job.backoff.delay(failures, chance)
    return Change(Verb.RETRY, State.SCHEDULED, outcome, error=error, delay=delay, failures=1)


def _rescue(job: Claimed, reason: str, spread: float) -> Change:
    """Give back a job whose worker is gone; one lost too often runs alone, then fails.

    `spread` (0 to 1) is how far back in the queue of the rescued this one stands: a mass
    rescue does not start everything in the same instant.
    """
    error = _row("Lost", reason)
    if job.cancel_requested:
        return Change(Verb.RESCUE, State.CANCELLED, Outcome.LOST, error=error, lost=1)
    lost = job.lost + 1
    if lost >= LOST_LIMIT:
        return Change(Verb.RESCUE, State.FAILED, Outcome.LOST, error=error, lost=1)
    solo = job.solo or lost >= LOST_BEFORE_SOLO
    wait = 5.0 * spread + (min(300.0, 5.0 * (2 ** (lost - 1) - 1)))
    state = State.SCHEDULED if wait > 0 else State.AVAILABLE
    return Change(Verb.RESCUE, state, Outcome.LOST, error=error, delay=wait, lost=1, solo=solo)
