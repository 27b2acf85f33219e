"""What clients ask of the store, where PostgreSQL does it in its own way: enqueue, and its bell."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

import psycopg
from psycopg.rows import tuple_row

from workhorse.domain.errors import InvalidJob
from workhorse.domain.job import Enqueued, NewJob, State
from workhorse.store.postgres.database import Database
from workhorse.store.postgres.enqueueing import are_alike, enqueue, enqueue_alike, is_simple, one
from workhorse.store.postgres.failures import in_our_words
from workhorse.store.postgres.session import part_of_transaction, refuse_unfit
from workhorse.store.verbs.client import ClientVerbs

QUIET: Final = 0.005
"""Seconds after a ring during which this process does not ring again: a worker that was rung looks
again by itself after twice as long. With a ring in each commit, writers wait for one another."""


class PostgresClientVerbs(ClientVerbs):
    """`ClientStore` on PostgreSQL, but for health."""

    _db: Database
    _rung_at = 0.0

    def enqueue(self, jobs: Sequence[NewJob]) -> list[Enqueued]:
        if not jobs:
            return []
        ring = self._ring()
        if len(jobs) == 1 and is_simple(jobs[0]):
            found = self._db.direct("enqueue.one", {**one(jobs[0]), **ring})
            assert found is not None
            id, state, _ = found
            return [Enqueued(int(id), State(state), existing=False)]
        if are_alike(jobs):
            return enqueue_alike(self._db.once, jobs, ring)
        return self._db.write(lambda tx: enqueue(tx.run, jobs, ring))

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
            connection.cursor(row_factory=tuple_row) as cursor,
        ):
            return enqueue(
                lambda statement, **among: cursor.execute(sql[statement], among),
                jobs,
                {"ring": True, "channel": self._db.place.channel},  # whenever that is committed
            )

    def _ring(self) -> dict[str, Any]:
        """Return how this enqueue rings: not when this process has rung a moment ago."""
        now = time.monotonic()
        ring = now - self._rung_at >= QUIET
        if ring:
            self._rung_at = now
        return {"ring": ring, "channel": self._db.place.channel}
