"""An open transaction on a connection, at one instant of the store's clock."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, Final

from workhorse.store.driver import Rows
from workhorse.store.fast_json import from_json
from workhorse.store.statements import statements

SQL: Final = statements("sqlite")


class SqliteTransaction:
    """`workhorse.store.driver.Transaction` on SQLite: every statement may use ``:now``."""

    __slots__ = ("_cursor", "now")

    def __init__(self, connection: sqlite3.Connection, now: int) -> None:
        self.now = now
        self._cursor = connection.cursor()
        self._cursor.row_factory = None

    def run(self, statement: str, /, **parameters: Any) -> sqlite3.Cursor:
        """Run a statement. The cursor is this transaction's only one: read it before the next."""
        parameters["now"] = self.now
        return self._cursor.execute(SQL[statement], parameters)

    def value(self, statement: str, /, **parameters: Any) -> Any:
        found = self.run(statement, **parameters).fetchone()
        return None if found is None else found[0]

    def listed(self, statement: str, /, **parameters: Any) -> list[Any]:
        return from_json(self.value(statement, **parameters))  # type: ignore[no-any-return]


class SqliteWhole(SqliteTransaction):
    """`workhorse.store.driver.Whole` on SQLite; tables and columns are those of our own schema."""

    __slots__ = ()

    @contextmanager
    def rows(self, table: str) -> Iterator[Rows]:
        query = f"select * from {table}"  # noqa: S608 - see above
        with closing(self._cursor.connection.execute(query)) as cursor:
            yield Rows([name for name, *_ in cursor.description], cursor)

    def add(self, table: str, rows: Rows) -> None:
        columns = rows.columns
        names, places = ", ".join(columns), ", ".join("?" * len(columns))
        insert = f"insert into {table} ({names}) values ({places})"  # noqa: S608 - see above
        self._cursor.connection.executemany(insert, rows.rows)
