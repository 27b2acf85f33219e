"""What the Python API and the command line ask of the store, but for enqueue and health."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from typing import Any, Final

from workhorse.domain.errors import Conflict, InvalidJob, NotFound, Unavailable
from workhorse.domain.events import Event, Life
from workhorse.domain.job import (
    FINAL,
    UNFINISHED,
    Attempt,
    Job,
    QueueStats,
    State,
    WorkerInfo,
    check_name,
)
from workhorse.domain.outcome import ON_REQUEST
from workhorse.domain.transitions import EDGES, Verb
from workhorse.store import rows
from workhorse.store.driver import Driver, Transaction
from workhorse.store.protocol import JobFilter
from workhorse.store.rows import LAST_ID, compact_or_none, row_id, row_limit
from workhorse.store.verbs import edges, retention
from workhorse.store.verbs.sweep import SweepVerbs
from workhorse.text import MESSAGE_LIMIT, clean_text

SWEEPING: Final = 3.0
"""Seconds for which a cancel goes on with those who wait; the rest is a worker's sweep's."""


class ClientVerbs(SweepVerbs):
    """`ClientStore` over any driver."""

    _db: Driver[Transaction]

    def get(self, job_id: int) -> Job | None:
        found = self._db.read("jobs.get", id=row_id(job_id))
        return rows.job(found[0]) if found else None

    def list_jobs(
        self, where: JobFilter, *, limit: int = 50, before: int | None = None
    ) -> list[Job]:
        before = LAST_ID if before is None else row_id(before)
        page = {"limit": row_limit(limit), "before": before}
        found = self._db.read("jobs.list", **selection(where), **page)
        return [rows.job(row) for row in found]

    def counts(self) -> Mapping[State, int]:
        found = dict(self._db.read("jobs.counts"))
        return {state: found.get(state, 0) for state in State}

    def attempts(self, job_id: int) -> list[Attempt]:
        return rows.attempts(self._db.read("jobs.attempts", id=row_id(job_id)))

    def events(
        self,
        *,
        job_id: int | None = None,
        after: int = 0,
        limit: int = 1000,
        output: bool = True,
    ) -> list[Event]:
        if not 0 <= after <= LAST_ID:
            raise InvalidJob(
                f"after={after} is not the number of an event.",
                hint="Give the `seq` of one, or 0 to begin with the first.",
            )
        page = {"after": after, "limit": row_limit(limit), "output": output}
        if job_id is None:
            found = rows.events(self._all_events(**page))
        else:
            found = rows.events(self._events_of_job(job_id=row_id(job_id), **page))
        if any(event.name == Verb.CLAIM for event in found):
            self._flush()
        return found

    def _all_events(self, **page: Any) -> list[Any]:
        return self._db.read("events.all", **page)

    def _events_of_job(self, **page: Any) -> list[Any]:
        return self._db.read("events.of_job", **page)

    def _flush(self) -> None:
        """Have what was read on the disk: a bare claim may have been committed softly.

        Else a crash could undo an event that was shown, and another be given its number: who reads
        on from there would never see that.
        """
        raise NotImplementedError

    def cancel(self, job_id: int, *, reason: str = ON_REQUEST) -> State:
        reason = clean_text(reason, MESSAGE_LIMIT)

        def work(tx: Transaction) -> tuple[State, bool]:
            state = _state(tx, job_id)
            if state in FINAL:
                raise _no_edge(job_id, state, Verb.CANCEL)
            if state is State.RUNNING:
                tx.run("jobs.ask_to_end", id=job_id, reason=reason)
                return state, False
            return State.CANCELLED, edges.cancel_jobs(tx, {job_id: reason}).unswept

        state, unswept = self._db.write(work)
        if unswept:
            self._go_on_sweeping()
        return state

    def _go_on_sweeping(self) -> None:
        """Cancel who else waits for a job that is cancelled, as far as a caller has time for it."""
        until = time.monotonic() + SWEEPING
        with contextlib.suppress(Unavailable):  # the job is cancelled, and others sweep as well
            while time.monotonic() < until and self.sweep():
                pass

    def requeue(self, job_id: int) -> None:
        def work(tx: Transaction) -> None:
            state = _state(tx, job_id)
            if state not in EDGES[Verb.REQUEUE].sources:
                raise _no_edge(job_id, state, Verb.REQUEUE)
            if not _requeue(tx, job_id):
                raise Conflict(f"Another unfinished job holds the unique key of job {job_id}.")

        self._db.write(work)

    def requeue_many(self, where: JobFilter, *, limit: int = 1000) -> list[int]:
        wanted = _filter(where) | {"limit": row_limit(limit)}

        def work(tx: Transaction) -> list[int]:
            found = tx.run("jobs.unsuccessful", **wanted).fetchall()
            return [id for (id,) in found if _requeue(tx, id)]

        return self._db.write(work)

    def delete(self, job_id: int) -> None:
        def work(tx: Transaction) -> None:
            state = _state(tx, job_id)
            if state not in FINAL:
                raise Conflict(f"Job {job_id} is {state}: only a finished job can be deleted.")
            retention.drop(tx, [job_id])
            edges.record(tx, Life.JOB_DELETED, data={"job": job_id, "state": state})

        self._db.write(work)

    def queues(self) -> list[QueueStats]:
        paused = {name for (name,) in self._db.read("queues.paused")}
        counts: dict[str, dict[State, int]] = {name: {} for name in paused}
        for worker in self.workers():
            for name in worker.queues:
                counts.setdefault(name, {})
        ages: dict[str, int] = {}
        for name, number, age in self._db.read("queues.available"):
            counts.setdefault(name, {})[State.AVAILABLE] = number
            ages[name] = age
        for name, state, number in self._db.read("queues.others"):
            counts.setdefault(name, {})[State(state)] = number
        return [
            QueueStats(name, name in paused, counts[name], ages.get(name))
            for name in sorted(counts)
        ]

    def pause(self, queue: str) -> None:
        self._switch("queues.pause", Life.QUEUE_PAUSED, check_name("queue", queue))

    def resume(self, queue: str) -> None:
        self._switch("queues.resume", Life.QUEUE_RESUMED, queue)

    def workers(self, *, gone: bool = False) -> list[WorkerInfo]:
        return [rows.worker(row) for row in self._db.read("workers.list", gone=gone)]

    def expired_workers(self) -> list[int]:
        return [id for (id,) in self._db.read("workers.expired")]

    def waiting(self, *, oldest: int | None = None) -> Mapping[tuple[str, str], int]:
        found = (
            self._db.read("queues.waiting")
            if oldest is None
            else self._db.read("queues.oldest_waiting", oldest=row_limit(oldest))
        )
        return {(queue, kind): number for queue, kind, number in found}

    def _switch(self, statement: str, name: Life, queue: str) -> None:
        def work(tx: Transaction) -> None:
            if tx.run(statement, queue=queue).rowcount:
                edges.record(tx, name, data={"queue": queue})

        self._db.write(work)


def selection(where: JobFilter) -> dict[str, Any]:
    """Return what `where` asks of ``jobs.list``, and which of its parts can hold any of it."""
    wanted = set(where.states or State)
    succeeded = State.SUCCEEDED in wanted
    return _filter(where) | {
        "unfinished": not wanted.isdisjoint(UNFINISHED),
        "finished": succeeded,
        "unsuccessful": not succeeded and not wanted.isdisjoint(FINAL),
    }


def _filter(where: JobFilter) -> dict[str, Any]:
    return {
        "states": compact_or_none(where.states),
        "queues": compact_or_none(where.queues),
        "kinds": compact_or_none(where.kinds),
        "ids": compact_or_none([row_id(id) for id in where.ids]),
        "worker": None if where.worker is None else row_id(where.worker),
        "outcomes": compact_or_none(where.outcomes),
        "since": None if where.since is None else row_id(where.since),
        "until": None if where.until is None else row_id(where.until),
    }


def _state(tx: Transaction, job_id: int) -> State:
    """Return where a job stands; it stays there until this transaction ends.

    A job that moves between the two tables while it is looked for is found at the third look.
    """
    for statement in ("jobs.lock", "jobs.lock_ended", "jobs.lock"):
        found = tx.value(statement, id=row_id(job_id))
        if found is not None:
            return State(found)
    raise NotFound(f"There is no job {job_id}.")


def _no_edge(job_id: int, state: State, verb: Verb) -> Conflict:
    sources = ", ".join(EDGES[verb].sources)
    return Conflict(f"Job {job_id} is {state}: {verb} leaves only {sources}.")


def _requeue(tx: Transaction, job_id: int) -> bool:
    """failed, cancelled → available; False when another job holds its unique key."""
    if not tx.run("jobs.requeue", id=job_id).rowcount:
        return False
    tx.run("jobs.keep_last_attempt", id=job_id)
    tx.run("jobs.drop_finished", id=job_id)
    edges.record(tx, Verb.REQUEUE, job_id=job_id)
    return True
