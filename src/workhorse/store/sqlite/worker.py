"""What a worker's children ask of the store: the hot path."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Final

from workhorse.domain.events import OutputLine
from workhorse.domain.job import Claimed, State
from workhorse.domain.transitions import Verb
from workhorse.store.protocol import ClaimRequest, Settled, Turn
from workhorse.store.sqlite import edges, rows
from workhorse.store.sqlite.base import SqliteBase
from workhorse.store.sqlite.fast_json import compact
from workhorse.store.sqlite.rows import slices
from workhorse.store.sqlite.settling import keep_output, settle
from workhorse.store.sqlite.statements import statements

CLAIM: Final = statements("claim")
JOBS: Final = statements("jobs")


class WorkerVerbs(SqliteBase):
    """`WorkerStore` on SQLite."""

    def turn(
        self,
        worker: int,
        settled: Sequence[Settled],
        output: Sequence[OutputLine],
        claim: ClaimRequest | None,
    ) -> Turn:
        def work(connection: sqlite3.Connection) -> Turn:
            now = self._clock()
            keep_output(connection, worker, output, now)
            stale = settle(connection, worker, settled, now)
            valid, may_claim = _lease(connection, worker, now)
            if claim is None or not may_claim:
                return Turn(stale, (), valid)
            return Turn(stale, _claim(connection, worker, claim, now), valid)

        return self._db.write(work)

    def claim_job(self, worker: int, job_id: int) -> Claimed | None:
        def work(connection: sqlite3.Connection) -> Claimed | None:
            now = self._clock()
            _, may_claim = _lease(connection, worker, now)
            found = connection.execute(JOBS["state"], {"id": job_id}).fetchone()
            if not may_claim or found is None:
                return None
            if found[0] == State.SCHEDULED:
                connection.execute(JOBS["promote"], {"ids": compact([job_id])})
                edges.record(connection, Verb.PROMOTE, now, job_id=job_id)
            elif found[0] != State.AVAILABLE:
                return None
            (claimed,) = _take(connection, worker, 0, [job_id], now)
            return claimed

        return self._db.write(work)

    def cancel_requests(self, worker: int) -> list[tuple[int, int, int]]:
        among = {"worker": worker, "now": self._clock()}
        return self._db.read(CLAIM["cancel_requests"], among)

    def held(self, worker: int, child: int | None = None) -> list[Claimed]:
        found = self._db.read(CLAIM["held"], {"worker": worker, "child": child})
        return rows.held(found)


def _lease(connection: sqlite3.Connection, worker: int, now: int) -> tuple[bool, bool]:
    """Return whether the lease lives, and whether the worker may claim (it is not draining)."""
    found = connection.execute(CLAIM["lease"], {"worker": worker, "now": now}).fetchone()
    valid, alive = found or (0, 0)
    return bool(valid), bool(valid and alive)


def _claim(
    connection: sqlite3.Connection, worker: int, request: ClaimRequest, now: int
) -> list[Claimed]:
    """claim: available → running, queue by queue."""
    picked: list[int] = []
    among: dict[str, Any] = {"kinds": compact(request.kinds), "solo": int(request.solo)}
    for queue in dict.fromkeys(request.queues):
        left = request.limit - len(picked)
        if left <= 0:
            break
        picked += edges.ids(connection, CLAIM["next"], queue=queue, limit=left, **among)
    return _take(connection, worker, request.child, picked, now) if picked else []


def _take(
    connection: sqlite3.Connection, worker: int, child: int, picked: Sequence[int], now: int
) -> list[Claimed]:
    among = {"ids": compact(picked), "worker": worker, "child": child, "now": now}
    connection.execute(CLAIM["claim"], among)
    connection.execute(CLAIM["claim_event"], among)
    taken: list[Claimed] = []
    for some in slices(picked):
        (text,) = connection.execute(CLAIM["claimed"], {"ids": compact(some)}).fetchone()
        taken += rows.claimed(text)
    return taken
