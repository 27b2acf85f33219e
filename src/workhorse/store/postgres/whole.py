"""The store as a whole, in one transaction that has it alone: to be copied from or into."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from psycopg.sql import SQL, Identifier

from workhorse.store.driver import Rows
from workhorse.store.postgres.connection import PATIENCE, Connection
from workhorse.store.postgres.database import Database, PostgresTransaction

PATIENCE_ALONE: Final = 600.0
"""Longest wait for an answer to one operation, in seconds: each moves, or counts, a lot."""


class PostgresWhole(PostgresTransaction):
    """`workhorse.store.driver.Whole` on PostgreSQL: rows come and go as a stream."""

    __slots__ = ("_schema",)

    def __init__(self, connection: Connection, database: Database) -> None:
        super().__init__(connection, database.sql)
        self._schema = database.place.schema

    @contextmanager
    def rows(self, table: str) -> Iterator[Rows]:
        query = SQL("select * from {}").format(Identifier(self._schema, table))
        head = self._connection.execute(SQL("{} limit 0").format(query)).description or ()
        with self._connection.cursor() as cursor:
            rows = cursor.stream(query)
            try:
                yield Rows([column.name for column in head], rows)
            finally:
                rows.close()  # type: ignore[attr-defined]  # a generator, and it holds the connection

    def add(self, table: str, rows: Rows) -> None:
        name = Identifier(self._schema, table)
        names = SQL(", ").join(map(Identifier, rows.columns))
        with (
            self._connection.cursor() as cursor,
            cursor.copy(SQL("copy {} ({}) from stdin").format(name, names)) as copy,
        ):
            for row in rows.rows:
                copy.write_row(row)
        # What the planner knows is of the time when it was empty.
        self._connection.execute(SQL("analyze {}").format(name))


@contextmanager
def alone(database: Database) -> Iterator[PostgresWhole]:
    """Have the store alone, in one transaction."""
    with database.connection() as connection:
        connection.patience = PATIENCE_ALONE
        try:
            with connection.transaction():
                whole = PostgresWhole(connection, database)
                whole.run("copying.patience")
                whole.run("copying.alone")
                yield whole
        finally:
            connection.patience = PATIENCE
