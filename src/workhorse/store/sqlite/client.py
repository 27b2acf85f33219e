"""What clients ask of the store, where SQLite does it in its own way: enqueue."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from workhorse.domain.errors import InvalidJob
from workhorse.domain.job import Enqueued, NewJob
from workhorse.store.sqlite.database import Database
from workhorse.store.sqlite.enqueueing import enqueue
from workhorse.store.sqlite.failures import in_our_words
from workhorse.store.sqlite.session import part_of_transaction
from workhorse.store.sqlite.transaction import SqliteTransaction
from workhorse.store.verbs.client import ClientVerbs


class SqliteClientVerbs(ClientVerbs):
    """`ClientStore` on SQLite, but for health."""

    _db: Database

    def _flush(self) -> None:
        self._db.flush()

    def enqueue(self, jobs: Sequence[NewJob]) -> list[Enqueued]:
        return self._db.write(lambda tx: enqueue(tx, jobs)) if jobs else []

    def enqueue_with(self, connection: Any, jobs: Sequence[NewJob]) -> list[Enqueued]:
        if not isinstance(connection, sqlite3.Connection):
            raise InvalidJob(
                f"session={type(connection).__name__} is no SQLite transaction.",
                hint="Give a sqlite3.Connection, or a session or connection of SQLAlchemy or "
                "Django on SQLite.",
            )
        with in_our_words(self._db.path), part_of_transaction(connection, self._db.path):
            return enqueue(SqliteTransaction(connection, self._db.clock()), jobs)

    async def aenqueue_with(
        self,
        connection: Any,
        jobs: Sequence[NewJob],  # noqa: ARG002 - there is no way to store them
    ) -> list[Enqueued]:
        raise InvalidJob(
            f"session={type(connection).__name__} belongs to an event loop: on SQLite none can.",
            hint="Give a sqlite3.Connection, or an ordinary session of SQLAlchemy.",
        )
