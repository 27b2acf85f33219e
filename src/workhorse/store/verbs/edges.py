"""The edges of jobs that no attempt holds: promote, unblock, cancel, and what follows from them.

Functions here run inside the caller's open transaction; ids travel as JSON arrays.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from workhorse.store.driver import Transaction
from workhorse.store.fast_json import compact
from workhorse.store.rows import compact_or_none


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


def unblock_after(tx: Transaction, succeeded: Sequence[int]) -> None:
    """unblock: blocked → available, for jobs whose last dependency is among `succeeded`."""
    waiting = tx.listed("dependencies.waiting", ids=compact(succeeded))
    if waiting:
        tx.run("dependencies.satisfy", ids=compact(succeeded))
        ready = tx.listed("dependencies.ready", ids=compact(waiting))
        _move(tx, "dependencies.unblock", "unblock", ready)


def unblock_ready(tx: Transaction) -> int:
    """unblock: the same, for every blocked job that waits for nothing any more."""
    ready = tx.listed("dependencies.all_ready")
    _move(tx, "dependencies.unblock", "unblock", ready)
    return len(ready)


def cancel_jobs(tx: Transaction, targets: Sequence[int], reason: str) -> int:
    """cancel: scheduled, blocked, available → cancelled, and whatever waits for them."""
    targets = _cancel(tx, targets, reason)
    cancelled = len(targets)
    if any_dependencies(tx):
        tx.run("dependencies.forget", ids=compact(targets))
        for target in targets:
            cancelled += cancel_dependents(tx, target, "cancelled")
    return cancelled


def cancel_dependents(tx: Transaction, ended: int, state: str) -> int:
    """cancel: blocked → cancelled, for all that wait, near or far, for one that did not succeed."""
    cancelled, causes = 0, deque([(ended, state)])
    while causes:
        cause, state = causes.popleft()
        waiting = tx.listed("dependencies.waiting", ids=compact([cause]))
        if waiting:
            tx.run("dependencies.forget", ids=compact(waiting))
            ended_now = _cancel(tx, waiting, f"job {cause} {state}")
            causes.extend((one, "cancelled") for one in ended_now)
            cancelled += len(ended_now)
    return cancelled


def _cancel(tx: Transaction, targets: Sequence[int], reason: str) -> list[int]:
    """Cancel those of `targets` that do not run; return them."""
    found = tx.listed("jobs.cancellable", ids=compact(targets))
    tx.run("jobs.cancel", ids=compact(found), reason=reason)
    tx.run("jobs.drop_cancelled", ids=compact(found))
    _record_all(tx, "cancel", found, {"outcome": "cancelled", "reason": reason})
    return found


def any_dependencies(tx: Transaction) -> bool:
    """Tell whether any job waits for another."""
    return bool(tx.value("dependencies.any"))


def _move(tx: Transaction, statement: str, verb: str, targets: Sequence[int]) -> None:
    if targets:
        tx.run(statement, ids=compact(targets))
        _record_all(tx, verb, targets, None)


def _record_all(
    tx: Transaction, name: str, targets: Sequence[int], data: Mapping[str, Any] | None
) -> None:
    tx.run("events.for_jobs", ids=compact(targets), name=name, data=compact_or_none(data))
