"""How long the past is kept, and how the file is kept in shape."""

from __future__ import annotations

import sqlite3
from typing import Final

from workhorse.domain.job import State
from workhorse.store.protocol import Retention
from workhorse.store.sqlite import edges
from workhorse.store.sqlite.base import SqliteBase
from workhorse.store.sqlite.fast_json import compact
from workhorse.store.sqlite.statements import statements

RETENTION: Final = statements("retention")

LEAST_MISSED: Final = (State.SUCCEEDED, State.CANCELLED, State.FAILED)
"""The order in which finished jobs go when there are too many: dead letters last."""

_ANY_AGE: Final = 2**62


class RetentionVerbs(SqliteBase):
    """Pruning and house-keeping."""

    def prune(self, retention: Retention, *, batch: int = 1000) -> int:
        def work(connection: sqlite3.Connection) -> int:
            now = self._clock()
            chosen = _too_old(connection, retention, now, batch)
            if len(chosen) < batch:
                excess = min(_too_many(connection, retention) - len(chosen), batch - len(chosen))
                chosen += _oldest(connection, excess, set(chosen))
            _drop(connection, chosen)
            _drop_old_record(connection, retention, now, batch)
            return len(chosen)

        return self._db.write(work)

    def tidy(self) -> None:
        self._db.tidy()


def _too_old(
    connection: sqlite3.Connection, retention: Retention, now: int, limit: int
) -> list[int]:
    ages = {
        State.SUCCEEDED: retention.succeeded,
        State.CANCELLED: retention.cancelled,
        State.FAILED: retention.failed,
    }
    chosen: list[int] = []
    for state, age in ages.items():
        if age is not None and len(chosen) < limit:
            before, left = now - round(age * 1000), limit - len(chosen)
            chosen += edges.ids(
                connection, RETENTION["older"], state=state, before=before, limit=left
            )
    return chosen


def _too_many(connection: sqlite3.Connection, retention: Retention) -> int:
    """Return how many finished jobs must go by count; all of them while the file is too big."""
    excess = 0
    if retention.max_jobs is not None:
        (count,) = connection.execute(RETENTION["count"]).fetchone()
        excess = count - retention.max_jobs
    if retention.max_bytes is not None:
        (used,) = connection.execute(RETENTION["used"]).fetchone()
        excess = _ANY_AGE if used > retention.max_bytes else excess
    return excess


def _oldest(connection: sqlite3.Connection, wanted: int, but: set[int]) -> list[int]:
    chosen: list[int] = []
    for state in LEAST_MISSED:
        if wanted <= len(chosen):
            break
        limit = wanted - len(chosen) + len(but)
        found = edges.ids(connection, RETENTION["older"], state=state, before=_ANY_AGE, limit=limit)
        chosen += [id for id in found if id not in but]
    return chosen[: max(0, wanted)]


def _drop(connection: sqlite3.Connection, chosen: list[int]) -> None:
    if chosen:
        among = {"ids": compact(chosen)}
        for name in ("drop_jobs", "drop_attempts", "drop_events"):
            connection.execute(RETENTION[name], among)


def _drop_old_record(
    connection: sqlite3.Connection, retention: Retention, now: int, limit: int
) -> None:
    """Cut what belongs to no job at the longest age of all."""
    ages = (retention.succeeded, retention.cancelled, retention.failed)
    if any(age is None for age in ages):
        return
    before = now - round(max(age for age in ages if age is not None) * 1000)
    connection.execute(RETENTION["move_horizon"], {"before": before})
    connection.execute(RETENTION["drop_old_events"], {"before": before, "limit": limit})
    connection.execute(RETENTION["drop_old_workers"], {"before": before})
