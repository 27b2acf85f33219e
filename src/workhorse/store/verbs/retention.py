"""How long the past is kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from itertools import accumulate
from typing import Final

from workhorse.domain.errors import InvalidJob
from workhorse.domain.job import State
from workhorse.store.driver import Driver, Transaction
from workhorse.store.fast_json import compact
from workhorse.store.protocol import Retention
from workhorse.store.verbs import edges
from workhorse.store.verbs.measuring import Measure

LEAST_MISSED: Final = (State.SUCCEEDED, State.CANCELLED, State.FAILED)
"""The order in which finished jobs go when there are too many: dead letters last."""

EVENTS_AT_ONCE: Final = 20_000
"""Most events of one batch, whether they belong to jobs or to none. A job goes whole, but for one
that has more than this: it goes first, and what was written down of it bit by bit."""

PORTION: Final = 0.1
"""Seconds for which `measure` measures."""

LONGEST: Final = 1e12
"""No job is so many seconds old; what is kept for longer is kept."""
_ANY_AGE: Final = -(2**62)


class RetentionVerbs:
    """Pruning, over any driver."""

    _db: Driver[Transaction]
    _measure: Measure

    def prune(self, retention: Retention, *, batch: int = 1000) -> int:
        return self._db.write(lambda tx: _prune_old(tx, retention, batch)) or self._prune_most(
            retention, batch
        )

    def measure(self, retention: Retention) -> bool:
        if retention.max_bytes is None:
            return False
        return self._measure.look(self._db.read, patience=PORTION)

    def _prune_most(self, retention: Retention, batch: int) -> int:
        """Prune by count and bytes. To measure takes time, so others may write meanwhile."""
        while True:
            excess = self._excess(retention.max_bytes)
            ((count,),) = self._db.read("retention.count")
            if excess <= 0 and (retention.max_jobs is None or count <= retention.max_jobs):
                return 0
            gone = self._db.write(partial(self._prune_excess, retention, batch, excess))
            if gone is not None:
                return gone

    def _excess(self, most: int | None) -> int:
        """Return how many bytes more finished jobs hold than they may."""
        if most is None:
            return 0
        self._measure.look(self._db.read, patience=math.inf)
        return self._measure.held - most

    def _prune_excess(
        self, retention: Retention, batch: int, excess: int, tx: Transaction
    ) -> int | None:
        """Prune what is too many by count or bytes; None when another has done so meanwhile."""
        wanted = _too_many(tx, retention)
        if excess <= 0:
            chosen = _light(tx, _oldest(tx, min(wanted, batch)))
        else:
            tx.run("retention.alone")
            if not self._measure.still_holds(tx, batch):
                return None
            chosen = _light(tx, _oldest(tx, batch))
            chosen = chosen[: max(wanted, _as_many_as_hold(tx, excess, chosen))]
        drop(tx, chosen)
        return len(chosen)


def drop(tx: Transaction, finished: Sequence[int]) -> None:
    """Delete finished jobs, and what was written down of them.

    With a single one that may be too much for once: then the rest is left to `prune`.
    """
    if not finished:
        return
    ids = compact(finished)
    if edges.any_dependencies(tx):  # some may not know yet that what they wait for has succeeded
        tx.run("dependencies.satisfy", ids=ids)
    tx.run("retention.drop_jobs", ids=ids)
    tx.run("keys.drop", ids=ids)
    if len(finished) == 1 and _one_too_many(tx, finished) is not None:
        tx.run("retention.forget", id=finished[0])
    else:
        tx.run("retention.drop_attempts", ids=ids)
        tx.run("retention.drop_events", ids=ids)


def _prune_old(tx: Transaction, retention: Retention, batch: int) -> int:
    """Prune by age, and what is left of jobs that are gone already."""
    forgotten = tx.value("retention.forgotten")
    if forgotten is not None:
        _drop_some(tx, forgotten)
        return 1
    chosen = _light(tx, _too_old(tx, retention, batch))
    drop(tx, chosen)
    _drop_old_record(tx, retention)
    return len(chosen)


def _drop_some(tx: Transaction, forgotten: int) -> None:
    """Delete of a job that is gone as much of what was written down as may go at once."""
    some = {"id": forgotten, "limit": EVENTS_AT_ONCE}
    events = tx.run("retention.drop_some_events", **some).rowcount
    attempts = tx.run("retention.drop_some_attempts", **some).rowcount
    if max(events, attempts) < EVENTS_AT_ONCE:
        tx.run("retention.drop_forgotten", id=forgotten)


def _too_old(tx: Transaction, retention: Retention, limit: int) -> list[int]:
    ages = {
        State.SUCCEEDED: retention.succeeded,
        State.CANCELLED: retention.cancelled,
        State.FAILED: retention.failed,
    }
    chosen: list[int] = []
    for state, age in ages.items():
        if age is not None and len(chosen) < limit:
            left = limit - len(chosen)
            chosen += tx.listed("retention.older", state=state, age=_ms(age), limit=left)
    return chosen


def _ms(age: float) -> int:
    if math.isnan(age):
        raise InvalidJob(f"{age} is no age of a job.", hint="Give seconds, or None for no limit.")
    return round(min(age, LONGEST) * 1000)


def _too_many(tx: Transaction, retention: Retention) -> int:
    """Return how many finished jobs must go by count."""
    if retention.max_jobs is None:
        return 0
    excess: int = tx.value("retention.count") - retention.max_jobs
    return max(0, excess)


def _as_many_as_hold(tx: Transaction, size: int, chosen: Sequence[int]) -> int:
    """Return how many of `chosen`, from the first on, must go to be rid of `size` bytes."""
    weights = tx.listed("retention.weights_of", ids=compact(chosen))
    return sum(before < size for before in accumulate(weights[:-1], initial=0))


def _oldest(tx: Transaction, wanted: int) -> list[int]:
    chosen: list[int] = []
    for state in LEAST_MISSED:
        if len(chosen) < wanted:
            left = wanted - len(chosen)
            chosen += tx.listed("retention.older", state=state, age=_ANY_AGE, limit=left)
    return chosen


def _light(tx: Transaction, chosen: list[int]) -> list[int]:
    """Return the first of `chosen`, as many as have no more events than may go at once."""
    over = _one_too_many(tx, chosen)
    return chosen if over is None else chosen[: max(1, chosen.index(over))]


def _one_too_many(tx: Transaction, chosen: Sequence[int]) -> int | None:
    """Return the first of `chosen` with which there are more events than may go at once."""
    over: int | None = tx.value("retention.one_too_many", ids=compact(chosen), most=EVENTS_AT_ONCE)
    return over


def _drop_old_record(tx: Transaction, retention: Retention) -> None:
    """Cut what belongs to no job at the longest age of all."""
    ages = [retention.succeeded, retention.cancelled, retention.failed]
    kept = [_ms(age) for age in ages if age is not None]
    if len(kept) < len(ages):
        return
    tx.run("retention.move_horizon", age=max(kept))
    tx.run("retention.drop_old_events", limit=EVENTS_AT_ONCE)
    tx.run("retention.drop_old_workers", age=max(kept))
