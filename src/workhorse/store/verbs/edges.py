"""The edges of jobs that no attempt holds: promote, unblock, cancel, and what follows from them.

Functions here run inside the caller's open transaction; ids travel as JSON arrays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from workhorse.domain.job import State
from workhorse.store.driver import Transaction
from workhorse.store.fast_json import compact
from workhorse.store.rows import compact_or_none

PORTION: Final = 2000
"""Waits that end in one transaction because what is waited for has ended; the rest is a sweep's."""
STEPS: Final = 100
"""Links of a chain that are cancelled in one transaction: each is looked for by itself."""


class Cancelled(NamedTuple):
    """How many jobs were cancelled, and whether others that are to be are left to a sweep."""

    jobs: int
    unswept: bool


def record(
    tx: Transaction,
    name: str,
    *,
    job_id: int | None = None,
    attempt: int | None = None,
    worker: int | None = None,
    data: Mapping[str, Any] | None = None,
) -> None:
    """Write one event."""
    tx.run(
        "events.add",
        name=name,
        job_id=job_id,
        attempt=attempt,
        worker=worker,
        data=compact_or_none(data),
    )


def promote_due(tx: Transaction, limit: int) -> int:
    """promote: scheduled → available, for those that are due."""
    due = tx.listed("jobs.due", limit=limit)
    _move(tx, "jobs.promote", "promote", due)
    return len(due)


def unblock(tx: Transaction, waiting: Sequence[int]) -> list[int]:
    """unblock: blocked → available, for those of `waiting` that wait for nothing; return them."""
    ready = tx.listed("dependencies.ready", ids=compact(waiting))
    _move(tx, "dependencies.unblock", "unblock", ready)
    return ready


def unblock_due(tx: Transaction, limit: int) -> int:
    """unblock: the same, for those whose time has come and that wait for nothing else.

    Those that still wait for others are not looked at again: they go with the last of these.
    """
    due = tx.listed("dependencies.due", limit=limit)
    ready = unblock(tx, due)
    tx.run("dependencies.forget_time", ids=compact(due))
    return len(ready)


def unblock_ready(tx: Transaction) -> int:
    """unblock: the same, for a portion of all blocked jobs that wait for nothing any more."""
    ready = tx.listed("dependencies.all_ready", limit=PORTION)
    _move(tx, "dependencies.unblock", "unblock", ready)
    return len(ready)


def unsucceeded(awaited: Mapping[int, State]) -> list[int]:
    """Return which of the jobs that one is to wait for have not succeeded (yet)."""
    return [id for id, state in awaited.items() if state is not State.SUCCEEDED]


def in_vain(awaited: Mapping[int, State]) -> str | None:
    """Return why a job is cancelled that is to wait for these; None when it can wait."""
    for id, state in awaited.items():
        if state in {State.FAILED, State.CANCELLED}:
            return _reason(id, state)
    return None


def _reason(awaited: int, ended: str) -> str:
    return f"job {awaited} {ended}"


def cancel_jobs(tx: Transaction, reasons: Mapping[int, str]) -> Cancelled:
    """cancel: scheduled, blocked, available → cancelled, and who waits for them, as below."""
    targets = _cancel(tx, reasons)
    if not any_dependencies(tx):
        return Cancelled(len(targets), unswept=False)
    tx.run("dependencies.forget", ids=compact(targets))
    with_them, unswept = cancel_dependents(tx, dict.fromkeys(targets, "cancelled"))
    return Cancelled(len(targets) + with_them, unswept)


def cancel_dependents(tx: Transaction, ended: Mapping[int, str]) -> Cancelled:
    """cancel: blocked → cancelled, for those that wait, near or far, for what did not succeed.

    `ended` says of each how it ended. Who waits for them goes at once; then who waits for those. Of
    very many a portion goes: what still waits then is what a sweep looks for.
    """
    cancelled = 0
    for _ in range(STEPS):
        room = PORTION - cancelled
        waiting = ended and _waiting(tx, ended, limit=room)
        if not waiting:
            return Cancelled(cancelled, unswept=False)
        # Each is told the first of those that it waited for.
        reasons = {job: _reason(awaited, ended[awaited]) for job, awaited in reversed(waiting)}
        tx.run("dependencies.forget", ids=compact(list(reasons)))
        targets = _cancel(tx, reasons)
        ended = dict.fromkeys(targets, "cancelled")
        cancelled += len(targets)
        if len(waiting) >= room:
            break
    return Cancelled(cancelled, unswept=True)


def _waiting(tx: Transaction, ended: Iterable[int], *, limit: int) -> list[tuple[int, int]]:
    """Return some of those who wait for `ended`, each with what it waits for, in order of both."""
    return sorted(
        map(tuple, tx.listed("dependencies.waiting", ids=compact(list(ended)), limit=limit))
    )


def _cancel(tx: Transaction, reasons: Mapping[int, str]) -> list[int]:
    """Cancel those that do not run, each for its reason; return them."""
    found = tx.listed("jobs.cancellable", ids=compact(list(reasons)))
    rows = compact([(id, reasons[id]) for id in found])
    tx.run("jobs.cancel", rows=rows)
    tx.run("jobs.cancel_event", rows=rows)
    tx.run("jobs.drop_cancelled", ids=compact(found))
    return found


def any_dependencies(tx: Transaction) -> bool:
    """Tell whether any job waits for another."""
    return bool(tx.value("dependencies.any"))


def _move(tx: Transaction, statement: str, verb: str, targets: Sequence[int]) -> None:
    if targets:
        tx.run(statement, ids=compact(targets))
        tx.run("events.for_jobs", ids=compact(targets), name=verb)
