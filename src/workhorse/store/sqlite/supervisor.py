"""What a supervisor asks of the store: leases, and the maintenance passes."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any, Final

from workhorse.domain.events import Life
from workhorse.domain.job import Claimed
from workhorse.domain.outcome import Lost, Released
from workhorse.domain.transitions import settle as settle_by_rule
from workhorse.store.protocol import NewWorker, Promoted, Settled
from workhorse.store.sqlite import edges, rows
from workhorse.store.sqlite.base import SqliteBase
from workhorse.store.sqlite.fast_json import compact
from workhorse.store.sqlite.settling import settle
from workhorse.store.sqlite.statements import statements

CLAIM: Final = statements("claim")
JOBS: Final = statements("jobs")
QUEUES: Final = statements("queues")
WORKERS: Final = statements("workers")
DEPENDENCIES: Final = statements("dependencies")

AT_ONCE: Final = 100
"""Rescued jobs that may start again at once; those after them are spread over time …"""
SPREAD_OVER: Final = 1000
"""… in full when there are as many as this."""


class SupervisorVerbs(SqliteBase):
    """`SupervisorStore` on SQLite, but for retention."""

    def register(self, worker: NewWorker) -> int:
        def work(connection: sqlite3.Connection) -> int:
            now = self._clock()
            among = {
                "host": worker.host,
                "pid": worker.pid,
                "queues": compact(list(worker.queues)),
                "kinds": compact(list(worker.kinds)),
                "processes": worker.processes,
                "concurrency": worker.concurrency,
                "now": now,
                "lease_until": now + round(worker.lease * 1000),
            }
            added = connection.execute(WORKERS["register"], among).lastrowid
            assert added is not None
            about = {"host": worker.host, "pid": worker.pid, "queues": list(worker.queues)}
            edges.record(connection, Life.WORKER_STARTED, now, worker=added, data=about)
            return added

        return self._db.write(work)

    def renew(self, worker: int, lease: float, *, restarts: int = 0) -> bool:
        def work(connection: sqlite3.Connection) -> bool:
            now = self._clock()
            until = now + round(lease * 1000)
            among = {"id": worker, "now": now, "lease_until": until, "restarts": restarts}
            return connection.execute(WORKERS["renew"], among).rowcount == 1

        return self._db.write(work)

    def draining(self, worker: int) -> None:
        def work(connection: sqlite3.Connection) -> None:
            if connection.execute(WORKERS["draining"], {"id": worker}).rowcount:
                edges.record(connection, Life.WORKER_DRAINING, self._clock(), worker=worker)

        self._db.write(work)

    def retire(self, worker: int) -> None:
        def work(connection: sqlite3.Connection) -> None:
            now = self._clock()
            if connection.execute(WORKERS["gone"], {"id": worker, "now": now}).rowcount:
                outcome = Released("the worker stopped")
                held = _held(connection, worker)
                changes = [
                    Settled(job.id, job.attempt, settle_by_rule(job, outcome)) for job in held
                ]
                settle(connection, worker, changes, now)
                edges.record(connection, Life.WORKER_STOPPED, now, worker=worker)

        self._db.write(work)

    def note(self, name: str, *, worker: int | None = None, data: Mapping[str, Any]) -> None:
        now = self._clock()
        self._db.write(
            lambda connection: edges.record(connection, name, now, worker=worker, data=data)
        )

    def solo_waiting(self) -> int:
        ((waiting,),) = self._db.read(QUEUES["solo_waiting"])
        return int(waiting)

    def promote(self, *, limit: int = 1000) -> Promoted:
        ((due,),) = self._db.read(JOBS["next_due"])
        if due is None or due > self._clock():
            return Promoted(0, due)

        def work(connection: sqlite3.Connection) -> Promoted:
            promoted = edges.promote_due(connection, self._clock(), limit)
            (next_due,) = connection.execute(JOBS["next_due"]).fetchone()
            return Promoted(promoted, next_due)

        return self._db.write(work)

    def sweep(self) -> int:
        def work(connection: sqlite3.Connection) -> int:
            now, moved = self._clock(), 0
            for ended, state in connection.execute(DEPENDENCIES["unseen"]).fetchall():
                if state == "succeeded":
                    connection.execute(DEPENDENCIES["satisfy"], {"ids": compact([ended])})
                else:
                    moved += edges.cancel_dependents(connection, ended, state or "is gone", now)
            return moved + edges.unblock_ready(connection, now)

        return self._db.write(work)

    def expired_workers(self) -> list[int]:
        found = self._db.read(WORKERS["expired"], {"now": self._clock()})
        return [id for (id,) in found]

    def living_workers(self, host: str) -> list[int]:
        return [id for (id,) in self._db.read(WORKERS["of_host"], {"host": host})]

    def rescue(self, worker: int, *, reason: str, expired_only: bool = True) -> int:
        def work(connection: sqlite3.Connection) -> int:
            now = self._clock()
            among = {"id": worker, "now": now}
            if expired_only and connection.execute(WORKERS["living"], among).fetchone():
                return 0
            held = _held(connection, worker)
            outcome = Lost(reason)
            changes = [
                Settled(job.id, job.attempt, settle_by_rule(job, outcome, chance=_spread(place)))
                for place, job in enumerate(held)
            ]
            settle(connection, worker, changes, now)
            if connection.execute(WORKERS["lost"], among).rowcount:
                about = {"reason": reason, "jobs": len(held)}
                edges.record(connection, Life.WORKER_LOST, now, worker=worker, data=about)
            return len(held)

        return self._db.write(work)


def _held(connection: sqlite3.Connection, worker: int) -> list[Claimed]:
    return rows.held(connection.execute(CLAIM["held"], {"worker": worker, "child": None}))


def _spread(place: int) -> float:
    """Return how far back (0 to 1) the rescued job at `place` stands among a mass of them."""
    return min(1.0, max(0, place - AT_ONCE + 1) / (SPREAD_OVER - AT_ONCE))
