"""Ending attempts: complete, retry, snooze, release, fail, cancel, rescue. All fenced.

An attempt that succeeded comes in by one door, as ids and results in arrays; any other as a row of
JSON that says which edge it takes. Both doors are one statement each, and change only rows that
are still the worker's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from workhorse.domain.job import FINAL, State
from workhorse.domain.transitions import Change, Verb
from workhorse.store.fast_json import compact
from workhorse.store.postgres.database import PostgresTransaction
from workhorse.store.protocol import Settled
from workhorse.store.rows import error_text, told_text
from workhorse.store.verbs import edges
from workhorse.store.verbs.turns import AttemptKey, not_recorded


class Ended(NamedTuple):
    """Settled attempts, parted by the door they take."""

    completed: Sequence[Settled]
    others: Sequence[Settled]

    @classmethod
    def sorted(cls, settled: Sequence[Settled]) -> Ended:
        """Part the successes from the rest."""
        completed = [one for one in settled if one.change.verb is Verb.COMPLETE]
        if len(completed) == len(settled):
            return cls(completed, ())
        return cls(completed, [one for one in settled if one.change.verb is not Verb.COMPLETE])


def completed_arrays(completed: Sequence[Settled]) -> dict[str, Any]:
    """Return the parameters of ``settle.complete``."""
    results = [one.change.result for one in completed]
    return {
        "ids": array(one.id for one in completed),
        "attempts": array(one.attempt for one in completed),
        "results": results if any(result is not None for result in results) else [],
    }


def other_rows(others: Iterable[Settled]) -> str:
    """Return the rows of ``settle.others``."""
    return compact([_row(*one) for one in others])


def array(numbers: Iterable[int]) -> str:
    """Return numbers as the text of an array."""
    return "{" + ",".join(map(str, numbers)) + "}"


def settle(
    tx: PostgresTransaction, worker: int, settled: Sequence[Settled]
) -> tuple[list[AttemptKey], bool]:
    """End these attempts of `worker` in an open transaction; return those that were not its own.

    And whether some of those who waited for the others are left to a sweep.
    """
    completed, others = Ended.sorted(settled)
    stale: list[AttemptKey] = []
    unswept = False
    if completed:
        own = tx.value("settle.complete", worker=worker, **completed_arrays(completed))
        stale += not_recorded(tx, worker, completed) if own < len(completed) else []
        unswept = unblock_after(tx, [one.id for one in completed]) >= edges.PORTION
    if others:
        own = tx.value("settle.others", worker=worker, rows=other_rows(others))
        ended = json.loads(own)
        stale += not_recorded(tx, worker, others) if len(ended) < len(others) else []
        unswept |= cancel_dependents(tx, ended)
    return stale, unswept


def unblock_after(tx: PostgresTransaction, succeeded: Sequence[int]) -> int:
    """unblock: blocked → available, for a portion of those whose last dependency is among these.

    Returns how many waits are over.
    """
    over: int = tx.value("dependencies.unblock_after", ids=array(succeeded), limit=edges.PORTION)
    return over


def free(tx: PostgresTransaction, settled: Sequence[Settled], also: Iterable[int] = ()) -> set[int]:
    """Return which of the jobs of `settled`, and `also`, nobody's open transaction keeps.

    They can be written to without waiting, until `tx` ends.
    """
    ending = array(one.id for one in settled if one.change.state in FINAL)
    ids = sorted({one.id for one in settled}.union(also))
    return set(tx.listed("settle.free", ids=array(ids), ending=ending))


def cancel_dependents(tx: PostgresTransaction, ended: Iterable[tuple[int, int, str]]) -> bool:
    """Cancel what waited for those of (id, attempt, state) that will not succeed.

    Returns whether some of it is left to a sweep.
    """
    bad = {id: state for id, _, state in ended if state in {State.FAILED, State.CANCELLED}}
    return edges.cancel_dependents(tx, bad).unswept


def _row(id: int, attempt: int, change: Change) -> dict[str, Any]:
    return {
        "id": id,
        "attempt": attempt,
        "verb": change.verb,
        "state": change.state,
        "outcome": change.outcome,
        "result": change.result,
        "error": error_text(change),
        "data": told_text(change),
        "delay": round(change.delay * 1000) if change.state is State.SCHEDULED else None,
        "failures": change.failures,
        "crashes": change.crashes,
        "lost": change.lost,
        "solo": change.solo,
    }
