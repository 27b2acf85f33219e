"""What clients ask of the store, where PostgreSQL does it in its own way: enqueue, and its bell."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import psycopg

from workhorse.domain.errors import InvalidJob, Unavailable
from workhorse.domain.job import Enqueued, NewJob, State
from workhorse.store.postgres import record, ringing
from workhorse.store.postgres.asking import Ask, Rows, answered
from workhorse.store.postgres.async_session import caller_of, enqueue_in
from workhorse.store.postgres.database import Database
from workhorse.store.postgres.enqueueing import (
    Ring,
    are_alike,
    enqueue,
    enqueue_alike,
    is_simple,
    one,
)
from workhorse.store.postgres.failures import in_our_words
from workhorse.store.postgres.ringing import Ringing
from workhorse.store.postgres.session import part_of_transaction, refuse_unfit
from workhorse.store.postgres.values import SessionCursor
from workhorse.store.verbs.client import ClientVerbs


class PostgresClientVerbs(ClientVerbs):
    """`ClientStore` on PostgreSQL, but for health."""

    _db: Database
    _ringing: Ringing

    def enqueue(self, jobs: Sequence[NewJob]) -> list[Enqueued]:
        if not jobs:
            return []
        began = time.monotonic()
        queues = {job.queue for job in jobs}
        rings = self._ringing.due(queues)
        answers: list[Enqueued] = []
        try:
            answers = self._enqueue(jobs, lambda queue: self._how_to_ring(on=queue in rings))
        finally:
            pairs = zip(jobs, answers, strict=False)  # none, when they were refused
            added = {job.queue for job, answer in pairs if not answer.existing}
            self._ringing.undo(rings - added)
        if time.monotonic() - began >= ringing.QUIET:
            self._ring_late(queues - rings)
        return answers

    def _ring_late(self, queues: Iterable[str]) -> None:
        """Ring for what took so long that a worker rung before may have looked again already."""
        for queue in self._ringing.due(queues):
            with contextlib.suppress(Unavailable):
                self._ring_for(queue)

    def _ring_for(self, queue: str) -> None:
        self._db.once("enqueue.ring", queue=queue)

    def _enqueue(self, jobs: Sequence[NewJob], ring: Ring) -> list[Enqueued]:
        if len(jobs) == 1 and is_simple(jobs[0]):
            found = self._db.direct("enqueue.one", {**one(jobs[0]), **ring(jobs[0].queue)})
            assert found is not None
            id, state, _ = found
            return [Enqueued(int(id), State(state), existing=False)]
        if are_alike(jobs):
            return answered(enqueue_alike(jobs, ring), _by(self._db.once))
        return self._db.write(lambda tx: answered(enqueue(jobs, ring), _by(tx.run)))

    def enqueue_with(self, connection: Any, jobs: Sequence[NewJob]) -> list[Enqueued]:
        if not isinstance(connection, psycopg.Connection):
            raise InvalidJob(
                f"session={type(connection).__name__} is no PostgreSQL transaction.",
                hint="Give a psycopg.Connection, or a session or connection of SQLAlchemy or "
                "Django on psycopg.",
            )
        refuse_unfit(connection)
        sql = self._db.sql
        with (
            in_our_words(self._db.place.shown),
            part_of_transaction(connection),
            SessionCursor(connection) as cursor,
        ):
            return answered(
                enqueue(jobs, lambda _: self._how_to_ring(on=True)),
                lambda ask: _rows(cursor.execute(sql[ask.statement], ask.parameters)),
            )

    async def aenqueue_with(self, connection: Any, jobs: Sequence[NewJob]) -> list[Enqueued]:
        caller = caller_of(connection, self._db.sql)
        if caller is None:
            raise InvalidJob(
                f"session={type(connection).__name__} is no asynchronous PostgreSQL transaction.",
                hint="Give an asyncpg.Connection or psycopg.AsyncConnection, or an AsyncSession or "
                "AsyncConnection of SQLAlchemy on one of them.",
            )
        with in_our_words(self._db.place.shown):
            return await enqueue_in(caller, enqueue(jobs, lambda _: self._how_to_ring(on=True)))

    def _all_events(self, **page: Any) -> list[Any]:
        return record.of_all(self._db, **page)

    def _events_of_job(self, **page: Any) -> list[Any]:
        return record.of_job(self._db, **page)

    def _flush(self) -> None:
        self._db.once("events.flush")

    def _how_to_ring(self, *, on: bool) -> dict[str, Any]:
        """Return the parameters of how an enqueue rings, or does not."""
        return {"ring": on, "channel": self._db.place.channel}


def _by(run: Callable[..., psycopg.Cursor[tuple[Any, ...]]]) -> Callable[[Ask], Rows]:
    """Return how to answer by what runs a statement of ours by its name."""
    return lambda ask: _rows(run(ask.statement, **ask.parameters))


def _rows(cursor: psycopg.Cursor[tuple[Any, ...]]) -> Rows:
    return cursor.fetchall() if cursor.description else []
