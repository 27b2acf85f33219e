"""What the Python API and the command line ask of the store."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, Final

from workhorse.domain.errors import Conflict, InvalidJob, NotFound
from workhorse.domain.events import Event, Life
from workhorse.domain.job import (
    FINAL,
    Attempt,
    Enqueued,
    Job,
    NewJob,
    QueueStats,
    State,
    WorkerInfo,
)
from workhorse.domain.transitions import EDGES, Verb
from workhorse.store.protocol import JobFilter
from workhorse.store.sqlite import edges, rows
from workhorse.store.sqlite.base import SqliteBase
from workhorse.store.sqlite.enqueueing import enqueue
from workhorse.store.sqlite.failures import in_our_words
from workhorse.store.sqlite.rows import LAST_ID, compact_or_none, row_id
from workhorse.store.sqlite.session import part_of_transaction
from workhorse.store.sqlite.statements import statements

JOBS: Final = statements("jobs")
EVENTS: Final = statements("events")
QUEUES: Final = statements("queues")
WORKERS: Final = statements("workers")


class ClientVerbs(SqliteBase):
    """`ClientStore` on SQLite."""

    def enqueue(self, jobs: Sequence[NewJob]) -> list[Enqueued]:
        if not jobs:
            return []
        return self._db.write(lambda connection: enqueue(connection, jobs, self._clock()))

    def enqueue_with(self, connection: Any, jobs: Sequence[NewJob]) -> list[Enqueued]:
        if not isinstance(connection, sqlite3.Connection):
            raise InvalidJob(f"{connection!r} is not a connection of this store's kind.")
        with in_our_words(self._db.path), part_of_transaction(connection):
            return enqueue(connection, jobs, self._clock())

    def get(self, job_id: int) -> Job | None:
        found = self._db.read(JOBS["get"], {"id": row_id(job_id)})
        return rows.job(found[0]) if found else None

    def list_jobs(
        self, where: JobFilter, *, limit: int = 50, before: int | None = None
    ) -> list[Job]:
        page = {"limit": limit, "before": LAST_ID if before is None else row_id(before)}
        return [rows.job(row) for row in self._db.read(JOBS["list"], _filter(where) | page)]

    def attempts(self, job_id: int) -> list[Attempt]:
        return rows.attempts(self._db.read(JOBS["attempts"], {"id": row_id(job_id)}))

    def events(
        self,
        *,
        job_id: int | None = None,
        after: int = 0,
        limit: int = 1000,
        output: bool = True,
    ) -> list[Event]:
        page: dict[str, Any] = {"after": after, "limit": limit, "output": output}
        if job_id is None:
            return rows.events(self._db.read(EVENTS["all"], page))
        return rows.events(self._db.read(EVENTS["of_job"], page | {"job_id": row_id(job_id)}))

    def cancel(self, job_id: int, *, reason: str = "cancelled on request") -> State:
        def work(connection: sqlite3.Connection) -> State:
            now, state = self._clock(), _state(connection, job_id)
            if state in FINAL:
                raise _no_edge(job_id, state, Verb.CANCEL)
            if state is State.RUNNING:
                among = {"id": job_id, "now": now, "reason": reason}
                connection.execute(JOBS["ask_to_end"], among)
                return state
            edges.cancel_jobs(connection, [job_id], reason, now)
            return State.CANCELLED

        return self._db.write(work)

    def requeue(self, job_id: int) -> None:
        def work(connection: sqlite3.Connection) -> None:
            state = _state(connection, job_id)
            if state not in EDGES[Verb.REQUEUE].sources:
                raise _no_edge(job_id, state, Verb.REQUEUE)
            if not _requeue(connection, job_id, self._clock()):
                raise Conflict(f"Another unfinished job holds the unique key of job {job_id}.")

        self._db.write(work)

    def requeue_many(self, where: JobFilter, *, limit: int = 1000) -> list[int]:
        def work(connection: sqlite3.Connection) -> list[int]:
            now = self._clock()
            found = connection.execute(JOBS["unsuccessful"], _filter(where) | {"limit": limit})
            return [id for (id,) in found.fetchall() if _requeue(connection, id, now)]

        return self._db.write(work)

    def delete(self, job_id: int) -> None:
        def work(connection: sqlite3.Connection) -> None:
            state = _state(connection, job_id)
            if state not in FINAL:
                raise Conflict(f"Job {job_id} is {state}: only a finished job can be deleted.")
            connection.execute(JOBS["drop_finished"], {"id": job_id})
            connection.execute(JOBS["drop_attempts"], {"id": job_id})
            connection.execute(EVENTS["drop"], {"id": job_id})
            edges.record(
                connection, Life.JOB_DELETED, self._clock(), data={"job": job_id, "state": state}
            )

        self._db.write(work)

    def queues(self) -> list[QueueStats]:
        now = self._clock()
        paused = {name for (name,) in self._db.read(QUEUES["paused"])}
        counts: dict[str, dict[State, int]] = {name: {} for name in paused}
        for worker in self.workers():
            for name in worker.queues:
                counts.setdefault(name, {})
        ages: dict[str, int] = {}
        for name, number, since in self._db.read(QUEUES["available"]):
            counts.setdefault(name, {})[State.AVAILABLE] = number
            ages[name] = max(0, now - since)
        for name, state, number in self._db.read(QUEUES["others"]):
            counts.setdefault(name, {})[State(state)] = number
        return [
            QueueStats(name, name in paused, counts[name], ages.get(name))
            for name in sorted(counts)
        ]

    def pause(self, queue: str) -> None:
        self._switch(QUEUES["pause"], Life.QUEUE_PAUSED, queue)

    def resume(self, queue: str) -> None:
        self._switch(QUEUES["resume"], Life.QUEUE_RESUMED, queue)

    def workers(self, *, gone: bool = False) -> list[WorkerInfo]:
        return [rows.worker(row) for row in self._db.read(WORKERS["list"], {"gone": gone})]

    def kinds_waiting(self) -> Mapping[str, int]:
        return dict(self._db.read(QUEUES["kinds_waiting"]))

    def _switch(self, sql: str, name: Life, queue: str) -> None:
        def work(connection: sqlite3.Connection) -> None:
            now = self._clock()
            if connection.execute(sql, {"name": queue, "now": now}).rowcount:
                edges.record(connection, name, now, data={"queue": queue})

        self._db.write(work)


def _filter(where: JobFilter) -> dict[str, Any]:
    return {
        "states": compact_or_none(where.states),
        "queues": compact_or_none(where.queues),
        "kinds": compact_or_none(where.kinds),
        "ids": compact_or_none(where.ids),
        "worker": where.worker,
    }


def _state(connection: sqlite3.Connection, job_id: int) -> State:
    found = connection.execute(JOBS["state"], {"id": row_id(job_id)}).fetchone()
    if found is None:
        raise NotFound(f"There is no job {job_id}.")
    return State(found[0])


def _no_edge(job_id: int, state: State, verb: Verb) -> Conflict:
    sources = ", ".join(EDGES[verb].sources)
    return Conflict(f"Job {job_id} is {state}: {verb} leaves only {sources}.")


def _requeue(connection: sqlite3.Connection, job_id: int, now: int) -> bool:
    """failed, cancelled → available; False when another job holds its unique key."""
    among = {"id": job_id, "now": now}
    if not connection.execute(JOBS["requeue"], among).rowcount:
        return False
    connection.execute(JOBS["keep_last_attempt"], among)
    connection.execute(JOBS["drop_finished"], among)
    edges.record(connection, Verb.REQUEUE, now, job_id=job_id)
    return True
