"""What a worker's children ask of the store: the hot path.

A turn is one message to the server and one commit: its statements travel together, and what
comes before the message's end is one transaction. A turn that only claims commits softly.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from itertools import repeat
from operator import itemgetter
from typing import Any

import psycopg
from psycopg import errors

from workhorse.domain.errors import Unavailable
from workhorse.domain.events import OutputLine
from workhorse.domain.job import Claimed, State
from workhorse.domain.retry import backoff_from_row
from workhorse.domain.transitions import Verb
from workhorse.store import rows
from workhorse.store.fast_json import compact
from workhorse.store.postgres.connection import Connection
from workhorse.store.postgres.database import Database, PostgresTransaction
from workhorse.store.postgres.failures import DEADLOCKED
from workhorse.store.postgres.position import Position, from_start
from workhorse.store.postgres.settling import (
    Ended,
    cancel_dependents,
    completed_arrays,
    free,
    other_rows,
    settle,
)
from workhorse.store.protocol import (
    TURN_BYTES,
    CancelRequest,
    ClaimRequest,
    Settled,
    Turn,
    fills_turn,
)
from workhorse.store.verbs import edges
from workhorse.store.verbs.turns import AttemptKey, latest_progress, not_recorded

Cursor = psycopg.Cursor[tuple[Any, ...]]


class _KeptError(Unavailable):
    """Nothing of a turn was written: another's transaction keeps a job of it."""


class ChildVerbs:
    """`ChildStore` on PostgreSQL."""

    overlaps = True
    _db: Database
    _claims: Database
    _position: Position
    _held_up: frozenset[int]
    """Jobs that another's transaction kept when their end was last to be written down."""

    def turn(
        self,
        worker: int,
        settled: Sequence[Settled],
        output: Sequence[OutputLine],
        claim: ClaimRequest | None,
    ) -> Turn:
        if not self._held_up or self._held_up.isdisjoint(one.id for one in settled):
            try:
                return self._turn(worker, settled, output, claim)
            except _KeptError:
                pass
        (stale, unswept), held_up = self._settle_around(worker, settled, output)
        rest = self._turn(worker, (), (), claim)
        return Turn(stale, rest.claimed, rest.lease_valid, held_up, unswept=unswept)

    def _settle_around(
        self, worker: int, settled: Sequence[Settled], output: Sequence[OutputLine]
    ) -> tuple[tuple[list[AttemptKey], bool], list[AttemptKey]]:
        """Write down all but what another's transaction keeps; tell of it as `settle`."""

        def work(tx: PostgresTransaction) -> tuple[tuple[list[AttemptKey], bool], list[AttemptKey]]:
            tx.run("settle.wait_briefly")
            ours = free(tx, settled, also=(line.job_id for line in output))
            for statement, parameters in _output_statements(worker, output, ours):
                tx.run(statement, **parameters)
            done = settle(tx, worker, [one for one in settled if one.id in ours])
            return done, [(one.id, one.attempt) for one in settled if one.id not in ours]

        done, held_up = self._claims.write(work)
        self._held_up = frozenset(id for id, _ in held_up)
        return done, held_up

    def _turn(
        self,
        worker: int,
        settled: Sequence[Settled],
        output: Sequence[OutputLine],
        claim: ClaimRequest | None,
    ) -> Turn:
        ended = Ended.sorted(settled)
        before = time.monotonic()
        try:
            answers = self._claims.again(
                lambda c: self._send(c, worker, ended, output, claim), when=DEADLOCKED
            )
        except Unavailable as error:
            if isinstance(error.__cause__, errors.LockNotAvailable):
                raise _KeptError(error.message, hint=error.hint) from error
            raise
        took = time.monotonic() - before
        stale, unswept = self._follow(worker, ended, answers)
        answer = answers["claim"]
        valid = bool(answer[0][0])
        claimed = claimed_jobs(answer, claim.queues) if claim and answer[0][1] is not None else []
        if claim and _goes_on(ended, output, claim):
            missing = 0 if fills_turn(claimed) else claim.limit - len(claimed)
            if self._position.reach(claimed, took=took, is_full=not missing):
                claimed += self._turn(worker, (), (), replace(claim, limit=missing)).claimed
        return Turn(stale, claimed, valid, unswept=unswept)

    def _send(
        self,
        connection: Connection,
        worker: int,
        ended: Ended,
        output: Sequence[OutputLine],
        claim: ClaimRequest | None,
    ) -> dict[str, Any]:
        """Send everything at once; return the rows of each statement that matters."""
        sent: dict[str, Cursor] = {}

        def send(name: str, statement: str, **parameters: Any) -> None:
            # Binary, because in text each quotation mark in an array of texts is escaped.
            sql = self._claims.sql[statement]
            sent[name] = connection.execute(sql, parameters, binary=True)

        with connection.pipeline():
            if not _is_bare(ended, output):
                send("briefly", "settle.wait_briefly")
            elif claim:
                send("softly", "claim.commit_softly")
            for statement, parameters in _output_statements(worker, output):
                send(statement, statement, **parameters)
            if ended.completed:
                arrays = completed_arrays(ended.completed)
                send("completed", "settle.complete", worker=worker, **arrays)
                limit = edges.PORTION
                send("unblocked", "dependencies.unblock_after", ids=arrays["ids"], limit=limit)
            if ended.others:
                send("others", "settle.others", worker=worker, rows=other_rows(ended.others))
            if claim:
                goes_on = _goes_on(ended, output, claim)
                place = self._position.start if goes_on else from_start
                queues = list(dict.fromkeys(claim.queues))
                send(
                    "claim",
                    "claim.claim",
                    worker=worker,
                    child=claim.child,
                    queues=queues,
                    kinds=list(claim.kinds),
                    limit=max(0, claim.limit),
                    bytes=TURN_BYTES,
                    solo=claim.solo,
                    **place(queues),
                )
            else:
                send("claim", "claim.lease", worker=worker)
        return {name: cursor.fetchall() for name, cursor in sent.items() if cursor.description}

    def _follow(
        self, worker: int, ended: Ended, answers: dict[str, Any]
    ) -> tuple[list[AttemptKey], bool]:
        """Do what follows from the settled ones, when something does; return as `settle` does."""
        unswept = bool(ended.completed) and answers["unblocked"][0][0] >= edges.PORTION
        done = answers["completed"][0][0] if ended.completed else 0
        others = json.loads(answers["others"][0][0]) if ended.others else []
        bad = [one for one in others if one[2] in {State.FAILED, State.CANCELLED}]
        if not (bad or done < len(ended.completed) or len(others) < len(ended.others)):
            return [], unswept

        def work(tx: PostgresTransaction) -> tuple[list[AttemptKey], bool]:
            left = bool(bad) and edges.any_dependencies(tx) and cancel_dependents(tx, bad)
            doubtful = [] if done == len(ended.completed) else list(ended.completed)
            doubtful += [] if len(others) == len(ended.others) else ended.others
            return not_recorded(tx, worker, doubtful), unswept or left

        return self._claims.write(work)

    def claim_job(self, worker: int, job_id: int) -> Claimed | None:
        def work(tx: PostgresTransaction) -> Claimed | None:
            if tx.value("claim.may_claim", worker=worker) is None:
                return None
            if tx.value("jobs.lock", id=job_id) == State.SCHEDULED:
                tx.run("jobs.promote", ids=compact([job_id]))
                edges.record(tx, Verb.PROMOTE, job_id=job_id)
            claimed = rows.held(tx.run("claim.claim_one", worker=worker, id=job_id))
            return claimed[0] if claimed else None

        return self._claims.write(work)

    def cancel_requests(self, worker: int) -> list[CancelRequest]:
        found = self._claims.read("claim.cancel_requests", worker=worker)
        return [CancelRequest(*row) for row in found]


def _output_statements(
    worker: int, output: Sequence[OutputLine], ours: Collection[int] | None = None
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Tell what writes lines down: all of them, and the latest progress (of `ours` alone)."""
    if output:
        yield "settle.output_event", {"lines": compact(output), "worker": worker}
    theirs = output if ours is None else (line for line in output if line.job_id in ours)
    if (rows := latest_progress(theirs)) is not None:
        yield "settle.progress", {"rows": rows, "worker": worker}


def _is_bare(ended: Ended, output: Sequence[OutputLine]) -> bool:
    """Whether a turn writes nothing down: it only claims."""
    return not (ended.completed or ended.others or output)


def _goes_on(ended: Ended, output: Sequence[OutputLine], claim: ClaimRequest) -> bool:
    """Whether a claim may be one of a flood: it stands alone, and is not for a suspect."""
    return _is_bare(ended, output) and not claim.solo


def claimed_jobs(answer: Sequence[Sequence[Any]], queues: Sequence[str]) -> list[Claimed]:
    """Return the jobs of rows of ``claim.claim``, in the order in which they are to start."""
    jobs: list[Claimed] = []
    for _, ids, args, enqueued_at, *shared, backoff, started_at in answer:
        attempt, kind, *queueing, failures, crashes, lost, solo, told = map(repeat, shared)
        waits = backoff_from_row(None if backoff is None else json.loads(backoff))
        columns = zip(
            ids, attempt, kind, args, *queueing, repeat(waits), failures, crashes, lost, solo, told,
            enqueued_at, repeat(started_at), strict=False,
        )  # fmt: skip
        jobs += map(Claimed._make, columns)
    jobs.sort(key=itemgetter(0))
    if len(answer) > 1:
        jobs.sort(key=lambda job: (queues.index(job.queue), -job.priority))
    return jobs
