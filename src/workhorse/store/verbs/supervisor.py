"""What a supervisor asks of the store: leases, and the maintenance passes but for retention."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from workhorse.domain.events import Life
from workhorse.domain.job import Claimed
from workhorse.domain.outcome import Lost, Released
from workhorse.domain.transitions import settle as settle_by_rule
from workhorse.store import rows
from workhorse.store.driver import Driver, Transaction
from workhorse.store.fast_json import compact
from workhorse.store.protocol import Look, NewWorker, Promoted, Settled
from workhorse.store.verbs import edges
from workhorse.store.verbs.sweep import SweepVerbs

STOPPED: Final = "the worker stopped"
AT_ONCE: Final = 100
"""Rescued jobs that may start again at once; those after them are spread over time …"""
SPREAD_OVER: Final = 1000
"""… in full when there are as many as this."""


class Registered(NamedTuple):
    """What tells one registration from another that was given the same id."""

    host: str | None = None
    pid: int | None = None
    started_at: int | None = None


class SupervisorVerbs(SweepVerbs):
    """`SupervisorStore` over any driver, but for retention."""

    _db: Driver[Transaction]
    _registered: dict[int, Registered]
    """What tells its own workers from others that have their ids."""

    def _settle(self, tx: Any, worker: int, settled: Sequence[Settled]) -> int:
        """End these attempts of `worker`, fenced, in the dialect's transaction `tx`.

        Leaves those whose job another's transaction keeps; returns how many it ended.
        """
        raise NotImplementedError

    def register(self, worker: NewWorker) -> int:
        def work(tx: Transaction) -> tuple[int, Registered]:
            added, started_at = tx.run(
                "workers.register",
                host=worker.host,
                pid=worker.pid,
                queues=compact(list(worker.queues)),
                kinds=compact(list(worker.kinds)),
                processes=worker.processes,
                concurrency=worker.concurrency,
                lease=_ms(worker.lease),
            ).fetchone()
            about = {"host": worker.host, "pid": worker.pid, "queues": list(worker.queues)}
            edges.record(tx, Life.WORKER_STARTED, worker=added, data=about)
            return added, Registered(worker.host, worker.pid, started_at)

        added, self._registered[added] = self._db.write(work)
        return added

    def renew(self, worker: int, lease: float, *, restarts: int = 0) -> bool:
        which = self._registered.get(worker, Registered())
        return self._renew(id=worker, lease=_ms(lease), restarts=restarts, **which._asdict())

    def _renew(self, **parameters: Any) -> bool:
        return self._db.write(lambda tx: tx.run("workers.renew", **parameters).rowcount == 1)

    def draining(self, worker: int) -> None:
        def work(tx: Transaction) -> None:
            if tx.run("workers.draining", id=worker).rowcount:
                edges.record(tx, Life.WORKER_DRAINING, worker=worker)

        self._db.write(work)

    def retire(self, worker: int) -> None:
        def work(tx: Transaction) -> None:
            if tx.run("workers.gone", id=worker).rowcount:
                outcome = Released(STOPPED)
                held = _held(tx, worker)
                changes = [
                    Settled(job.id, job.attempt, settle_by_rule(job, outcome)) for job in held
                ]
                self._settle(tx, worker, changes)
                edges.record(tx, Life.WORKER_STOPPED, worker=worker)

        self._db.write(work)
        self._registered.pop(worker, None)

    def note(self, name: str, *, worker: int | None = None, data: Mapping[str, Any]) -> None:
        self._db.write(lambda tx: edges.record(tx, name, worker=worker, data=data))

    def held(self, worker: int, child: int | None = None) -> list[Claimed]:
        return rows.held(self._db.read("claim.held", worker=worker, child=child))

    def look(self, worker: int | None = None) -> Look:
        ((at, expired, solo, holding),) = self._db.read("workers.look", worker=worker)
        return Look(at, json.loads(expired), solo, json.loads(holding))

    def promote(self, *, limit: int = 1000) -> Promoted:
        limit = rows.row_limit(limit)
        ((due_in,),) = self._db.read("jobs.due_in")
        if due_in is None or due_in > 0:
            return Promoted(0, due_in)

        def work(tx: Transaction) -> Promoted:
            jobs = edges.promote_due(tx, limit) + edges.unblock_due(tx, limit)
            return Promoted(jobs, tx.value("jobs.due_in"))

        return self._db.write(work)

    def rescue(self, worker: int, *, reason: str, expired_only: bool = True) -> int | None:
        def work(tx: Transaction) -> int | None:
            # From here on a claim of this worker waits, and then finds it lost.
            newly = tx.run("workers.lost", id=worker, expired_only=expired_only).rowcount
            if not newly and tx.value("workers.living", id=worker):
                return None
            held = _held(tx, worker)
            stopped = tx.value("workers.stopped", id=worker) is not None
            outcome = Released(STOPPED) if stopped else Lost(reason)
            changes = [
                Settled(job.id, job.attempt, settle_by_rule(job, outcome, chance=_spread(place)))
                for place, job in enumerate(held)
            ]
            given_back = self._settle(tx, worker, changes)
            if newly:
                about = {"reason": reason, "jobs": given_back}
                edges.record(tx, Life.WORKER_LOST, worker=worker, data=about)
            return given_back if newly or given_back else None

        return self._db.write(work)


def _held(tx: Transaction, worker: int) -> list[Claimed]:
    return rows.held(tx.run("claim.held", worker=worker, child=None).fetchall())


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _spread(place: int) -> float:
    """Return how far back (0 to 1) the rescued job at `place` stands among a mass of them."""
    return min(1.0, max(0, place - AT_ONCE + 1) / (SPREAD_OVER - AT_ONCE))
