"""Ending attempts: complete, retry, snooze, release, fail, cancel, rescue. All fenced.

An attempt enters the temporary table `settling` only while its row is the worker's; what
follows (history, attempts, jobs, events) reads that table alone. Nearly all attempts succeed
with no result: they come in as bare ids, the rest as rows. One mechanism, two doors.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from workhorse.domain.events import OutputLine
from workhorse.domain.job import State
from workhorse.domain.transitions import Verb
from workhorse.store.fast_json import compact
from workhorse.store.protocol import Settled
from workhorse.store.rows import error_text, slices, told_text
from workhorse.store.sqlite.transaction import SqliteTransaction
from workhorse.store.verbs import edges
from workhorse.store.verbs.turns import AttemptKey, latest_progress, not_recorded


class Followed(NamedTuple):
    """What follows from what was settled."""

    freed: Sequence[int] = ()
    """Jobs that others may claim now: given back, or let go by one they waited for."""
    unswept: bool = False
    """Whether some of those who waited are left to a sweep."""


def settle(
    tx: SqliteTransaction, worker: int, settled: Sequence[Settled]
) -> tuple[list[AttemptKey], Followed]:
    """End these attempts of `worker`; return those that were not its own, and what follows."""
    if not settled:
        return [], Followed()
    plain, others = _sort(settled)
    followed = Followed([one.id for one in others if one.change.state is State.AVAILABLE])
    loaded = _load(tx, worker, plain, others)
    if loaded:
        _apply(tx, worker, only_plain=not others)
        freed, unswept = _follow(tx, only_plain=not others)
        followed = Followed([*followed.freed, *freed], unswept)
        tx.run("settle.clear")
    stale = [] if loaded == len(settled) else not_recorded(tx, worker, settled)
    return stale, followed


def keep_output(tx: SqliteTransaction, worker: int, lines: Sequence[OutputLine]) -> None:
    """Keep output lines of attempts that are still the worker's, and their latest progress."""
    if not lines:
        return
    tx.run("settle.output_event", lines=compact(lines), worker=worker)
    if (rows := latest_progress(lines)) is not None:
        tx.run("settle.progress", rows=rows, worker=worker)


def _sort(settled: Sequence[Settled]) -> tuple[dict[int, list[int]], list[Settled]]:
    """Part the bare successes, by attempt number, from the rest."""
    plain: defaultdict[int, list[int]] = defaultdict(list)
    others: list[Settled] = []
    for one in settled:
        change = one.change
        if change.verb is Verb.COMPLETE and change.result is None:
            plain[one.attempt].append(one.id)
        else:
            others.append(one)
    return plain, others


def _load(
    tx: SqliteTransaction,
    worker: int,
    plain: dict[int, list[int]],
    others: Sequence[Settled],
) -> int:
    loaded = 0
    for attempt, ids in plain.items():
        stored = tx.run("settle.load_completed", ids=compact(ids), attempt=attempt, worker=worker)
        loaded += stored.rowcount
    for some in slices(others):
        rows = compact([_row(one, tx.now) for one in some])
        loaded += tx.run("settle.load", rows=rows, worker=worker).rowcount
    return loaded


def _row(settled: Settled, now: int) -> list[Any]:
    id, attempt, change = settled
    run_at = now + round(change.delay * 1000) if change.state is State.SCHEDULED else None
    return [
        id, attempt, change.verb, change.state, change.outcome, change.result,
        error_text(change), told_text(change), run_at,
        change.failures, change.crashes, change.lost, int(change.solo),
    ]  # fmt: skip


def _apply(tx: SqliteTransaction, worker: int, *, only_plain: bool) -> None:
    tx.run("settle.finish")
    tx.run("settle.settle_event", worker=worker)
    tx.run("settle.drop_ended")
    if not only_plain:
        tx.run("settle.keep_attempts")
        tx.run("settle.give_back")


def unblock_after(tx: SqliteTransaction, succeeded: Sequence[int]) -> tuple[int, list[int]]:
    """unblock: blocked → available, for a portion of those whose last dependency is among these.

    Returns how many waits are over, and the jobs that were let go.
    """
    over = tx.listed("dependencies.waiting", ids=compact(succeeded), limit=edges.PORTION)
    if not over:
        return 0, []
    tx.run("dependencies.end_waits", pairs=compact(over))
    return len(over), edges.unblock(tx, sorted({job for job, _ in over}))


def _follow(tx: SqliteTransaction, *, only_plain: bool) -> Followed:
    """Let others go, or cancel them; cancel what was told to end and was given back instead."""
    over, unblocked, unswept = 0, list[int](), False
    if edges.any_dependencies(tx):
        over, unblocked = unblock_after(tx, tx.listed("settle.succeeded"))
        _, unswept = edges.cancel_dependents(tx, dict(tx.listed("settle.ended_badly")))
    if not only_plain and (requested := dict(tx.listed("jobs.end_requested"))):
        unswept |= edges.cancel_jobs(tx, requested).unswept
    return Followed(unblocked, unswept or over >= edges.PORTION)
