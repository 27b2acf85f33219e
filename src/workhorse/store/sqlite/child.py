"""What a worker's children ask of the store: the hot path."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from workhorse.domain.events import OutputLine
from workhorse.domain.job import Claimed, State
from workhorse.domain.transitions import Verb
from workhorse.store import rows
from workhorse.store.fast_json import compact
from workhorse.store.protocol import (
    TURN_BYTES,
    CancelRequest,
    ClaimRequest,
    Settled,
    Turn,
    args_bytes,
)
from workhorse.store.rows import slices
from workhorse.store.sqlite.database import Database
from workhorse.store.sqlite.settling import keep_output, settle
from workhorse.store.sqlite.transaction import SqliteTransaction
from workhorse.store.verbs import edges

CLAIM_SLICE: Final = 50
"""Jobs that are claimed before their arguments are weighed: to weigh is to read them."""


class ChildVerbs:
    """`ChildStore` on SQLite."""

    overlaps = False
    _db: Database

    def turn(
        self,
        worker: int,
        settled: Sequence[Settled],
        output: Sequence[OutputLine],
        claim: ClaimRequest | None,
    ) -> Turn:
        def work(tx: SqliteTransaction) -> Turn:
            keep_output(tx, worker, output)
            stale, (freed, unswept) = settle(tx, worker, settled)
            valid, may_claim = _lease(tx, worker)
            claimed = [] if claim is None or not may_claim else _claim(tx, worker, claim)
            left = freed and set(freed) - {job.id for job in claimed}
            return Turn(stale, claimed, valid, freed=bool(left), unswept=unswept)

        # A claim is a lease that may be lost: it need not be on the disk before it is worked on.
        return self._db.write(work, soft=not (settled or output))

    def claim_job(self, worker: int, job_id: int) -> Claimed | None:
        def work(tx: SqliteTransaction) -> Claimed | None:
            _, may_claim = _lease(tx, worker)
            state = tx.value("jobs.lock", id=job_id)
            if not may_claim:
                return None
            if state == State.SCHEDULED:
                tx.run("jobs.promote", ids=compact([job_id]))
                edges.record(tx, Verb.PROMOTE, job_id=job_id)
            elif state != State.AVAILABLE:
                return None
            (claimed,) = _take(tx, worker, 0, [job_id])
            return claimed

        return self._db.write(work)

    def cancel_requests(self, worker: int) -> list[CancelRequest]:
        found = self._db.read("claim.cancel_requests", worker=worker)
        return [CancelRequest(*row) for row in found]


def _lease(tx: SqliteTransaction, worker: int) -> tuple[bool, bool]:
    """Return whether the lease lives, and whether the worker may claim (it is not draining)."""
    valid, alive = tx.run("claim.lease", worker=worker).fetchone() or (0, 0)
    return bool(valid), bool(valid and alive)


def _claim(tx: SqliteTransaction, worker: int, request: ClaimRequest) -> list[Claimed]:
    """claim: available → running, queue by queue."""
    picked: list[int] = []
    among: dict[str, Any] = {"kinds": compact(request.kinds), "solo": int(request.solo)}
    for queue in dict.fromkeys(request.queues):
        left = request.limit - len(picked)
        if left <= 0:
            break
        picked += tx.listed("claim.next", queue=queue, limit=left, **among)
    return _take(tx, worker, request.child, picked)


def _take(tx: SqliteTransaction, worker: int, child: int, picked: Sequence[int]) -> list[Claimed]:
    """Claim the first of these, as far as one turn carries their arguments."""
    taken: list[Claimed] = []
    left = TURN_BYTES
    for some in slices(picked, CLAIM_SLICE):
        ids = compact(some)
        tx.run("claim.claim", ids=ids, worker=worker, child=child)
        tx.run("claim.claim_event", ids=ids, worker=worker)
        claimed = rows.claimed(tx.value("claim.claimed", ids=ids))
        taken += claimed
        left -= args_bytes(claimed)
        if left <= 0:
            break
    return taken
