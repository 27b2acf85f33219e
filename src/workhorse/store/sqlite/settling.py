"""Ending attempts: complete, retry, snooze, release, fail, cancel, rescue. All fenced.

An attempt enters the temporary table `settling` only while its row is the worker's; what
follows (history, attempts, jobs, events) reads that table alone. Nearly all attempts succeed
with no result: they come in as bare ids, the rest as rows. One mechanism, two doors.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

from workhorse.domain.events import Output, OutputLine
from workhorse.domain.job import Outcome, State
from workhorse.domain.transitions import Change, Verb
from workhorse.store.protocol import Settled
from workhorse.store.sqlite import edges
from workhorse.store.sqlite.fast_json import compact
from workhorse.store.sqlite.rows import compact_or_none, slices
from workhorse.store.sqlite.statements import statements

SETTLE: Final = statements("settle")
JOBS: Final = statements("jobs")

Fence = tuple[int, int]
"""(job id, attempt)"""

_IN_OUR_WORDS: Final = frozenset(
    {Outcome.TIMED_OUT, Outcome.CRASHED, Outcome.LOST, Outcome.RELEASED, Outcome.CANCELLED}
)
"""Outcomes whose reason is not a handler's: its words may hold payload."""


def settle(
    connection: sqlite3.Connection, worker: int, settled: Sequence[Settled], now: int
) -> list[Fence]:
    """End these attempts of `worker`; return those that were no longer its own."""
    if not settled:
        return []
    plain, others = _sort(settled)
    loaded = _load(connection, worker, plain, others, now)
    if loaded:
        _apply(connection, worker, now, only_plain=not others)
        _follow(connection, now, only_plain=not others)
        connection.execute(SETTLE["clear"])
    return [] if loaded == len(settled) else _stale(connection, worker, settled)


def keep_output(
    connection: sqlite3.Connection, worker: int, lines: Sequence[OutputLine], now: int
) -> None:
    """Keep output lines of attempts that are still the worker's, and their latest progress."""
    if not lines:
        return
    among = {"lines": compact(lines), "now": now, "worker": worker}
    connection.execute(SETTLE["output_event"], among)
    latest = {
        (line.job_id, line.attempt): line.data for line in lines if line.name is Output.PROGRESS
    }
    if latest:
        rows = compact([[*fence, data] for fence, data in latest.items()])
        connection.execute(SETTLE["progress"], {"rows": rows, "worker": worker})


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
    connection: sqlite3.Connection,
    worker: int,
    plain: dict[int, list[int]],
    others: Sequence[Settled],
    now: int,
) -> int:
    loaded = 0
    for attempt, ids in plain.items():
        among: dict[str, Any] = {"ids": compact(ids), "attempt": attempt, "worker": worker}
        loaded += connection.execute(SETTLE["load_completed"], among).rowcount
    for some in slices(others):
        among = {"rows": compact([_row(one, now) for one in some]), "worker": worker}
        loaded += connection.execute(SETTLE["load"], among).rowcount
    return loaded


def _row(settled: Settled, now: int) -> list[Any]:
    id, attempt, change = settled
    run_at = now + round(change.delay * 1000) if change.state is State.SCHEDULED else None
    return [
        id, attempt, change.verb, change.state, change.outcome, change.result,
        compact_or_none(change.error), compact(_told(change)), run_at,
        change.failures, change.crashes, change.lost, int(change.solo),
    ]  # fmt: skip


def _told(change: Change) -> dict[str, Any]:
    """What the event says of a change: metadata, and never the words of a handler."""
    told: dict[str, Any] = {"outcome": change.outcome}
    if change.verb is Verb.RESCUE:
        told["state"] = change.state
    if change.error is not None:
        if change.outcome in _IN_OUR_WORDS:
            told["reason"] = change.error["message"]
        else:
            told["error"] = change.error["type"]
    return told


def _apply(connection: sqlite3.Connection, worker: int, now: int, *, only_plain: bool) -> None:
    among = {"now": now, "worker": worker}
    connection.execute(SETTLE["finish"], among)
    connection.execute(SETTLE["settle_event"], among)
    connection.execute(SETTLE["drop_ended"])
    if not only_plain:
        connection.execute(SETTLE["keep_attempts"], among)
        connection.execute(SETTLE["give_back"], among)


def _follow(connection: sqlite3.Connection, now: int, *, only_plain: bool) -> None:
    """Let others go, or cancel them; cancel what was told to end and was given back instead."""
    if edges.any_dependencies(connection):
        edges.unblock_after(connection, edges.ids(connection, SETTLE["succeeded"]), now)
        for ended, state in edges.ids(connection, SETTLE["ended_badly"]):
            edges.cancel_dependents(connection, ended, state, now)
    if not only_plain:
        for job_id, reason in edges.ids(connection, JOBS["end_requested"]):
            edges.cancel_jobs(connection, [job_id], reason, now)


def _stale(connection: sqlite3.Connection, worker: int, settled: Sequence[Settled]) -> list[Fence]:
    """Return the attempts that are not recorded just so, now or before."""
    stale: list[Fence] = []
    for id, attempt, change in settled:
        among = {"id": id, "attempt": attempt, "worker": worker, "outcome": change.outcome}
        if connection.execute(SETTLE["recorded"], among).fetchone() is None:
            stale.append((id, attempt))
    return stale
