"""One database: a few connections for each use, so that no use can starve another."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias, TypeVar

import psycopg

from workhorse.domain.errors import Unavailable
from workhorse.store.driver import refuse_after_fork
from workhorse.store.fast_json import from_json
from workhorse.store.postgres.connection import CANCEL_PATIENCE, PATIENCE, Connection, connect
from workhorse.store.postgres.direct import Direct, Row, first_row
from workhorse.store.postgres.failures import (
    AGAIN,
    DRIVER_ERRORS,
    LOST,
    SPENT,
    cannot_connect,
    is_gone,
    is_stale,
    translated,
)
from workhorse.store.postgres.url import Place
from workhorse.store.statements import statements

T = TypeVar("T")
Work: TypeAlias = Callable[["PostgresTransaction"], T]

TRIES: Final = 5
"""How often a transaction is tried that the server gave up in favour of another."""


class PostgresTransaction:
    """`workhorse.store.driver.Transaction` on PostgreSQL: statements know the server's clock."""

    __slots__ = ("_connection", "_sql")

    def __init__(self, connection: Connection, sql: dict[str, bytes]) -> None:
        self._connection = connection
        self._sql = sql

    def run(self, statement: str, /, **parameters: Any) -> psycopg.Cursor[tuple[Any, ...]]:
        return self._connection.execute(self._sql[statement], parameters)

    def value(self, statement: str, /, **parameters: Any) -> Any:
        found = self.run(statement, **parameters).fetchone()
        return None if found is None else found[0]

    def listed(self, statement: str, /, **parameters: Any) -> list[Any]:
        return from_json(self.value(statement, **parameters))  # type: ignore[no-any-return]


class Lane:
    """Up to `size` connections for one use: clients, claims, or the lease."""

    def __init__(self, place: Place, name: str, size: int, *, fresh_plans: bool) -> None:
        self._place = place
        self._name = f"workhorse {name}"
        self._fresh_plans = fresh_plans
        self._idle: list[Connection] = []
        self._room = threading.BoundedSemaphore(size)
        self._closed = False

    def borrow(self, by: float) -> Connection:
        """Return a connection that is alive as far as one can see; `give_back` it.

        It is had, and its first answer is there, `by` an instant of the monotonic clock.
        """
        if not self._room.acquire(timeout=max(0.0, by - time.monotonic())):
            raise Unavailable("The store is busy: no turn among this process's own connections.")
        try:
            connection = self._take(by)
        except BaseException:
            self._room.release()
            raise
        connection.answer_by = by
        return connection

    def give_back(self, connection: Connection) -> None:
        """Take a connection back. A broken one, or one in a transaction, is not kept."""
        try:
            status = connection.pgconn.transaction_status
            if self._closed or is_gone(connection) or status != psycopg.pq.TransactionStatus.IDLE:
                connection.close()
            else:
                self._idle.append(connection)
        finally:
            self._room.release()

    def _take(self, by: float) -> Connection:
        if self._closed:
            raise Unavailable("The store is closed.")
        while self._idle:
            connection = self._idle.pop()
            if connection.is_fresh():
                return connection
            connection.close()
        try:
            return connect(
                self._place.anew().conninfo, name=self._name, by=by, fresh_plans=self._fresh_plans
            )
        except psycopg.Error as error:
            raise cannot_connect(error, self._place.shown) from error

    def close(self) -> None:
        """Let go of every connection; those in use go when they come back. Idempotent."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()


class Loan:
    """A connection for a while; the driver's errors come out in our words."""

    __slots__ = ("_by", "_connection", "_lane", "_shown")

    def __init__(self, lane: Lane, by: float, shown: str) -> None:
        self._lane = lane
        self._by = by
        self._shown = shown

    def __enter__(self) -> Connection:
        self._connection = self._lane.borrow(self._by)
        return self._connection

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, SPENT):
            self._connection.close()
        self._lane.give_back(self._connection)
        if isinstance(error, DRIVER_ERRORS):
            raise translated(error, self._shown) from error


class Database:
    """The two ways in, over one lane."""

    def __init__(self, place: Place, name: str, *, size: int, fresh_plans: bool = False) -> None:
        self.place = place
        self._lane = Lane(place, name, size, fresh_plans=fresh_plans)
        self._pid = os.getpid()
        self.sql: dict[str, bytes] = {
            name: place.in_schema(text).encode() for name, text in statements("postgres").items()
        }
        self._direct: dict[str, Direct] = {}

    def connection(self, by: float | None = None) -> Loan:
        """Lend a connection, within ``with``, which is there `by` an instant."""
        refuse_after_fork(self._pid)
        return Loan(self._lane, by or time.monotonic() + PATIENCE, self.place.shown)

    def write(self, work: Work[T]) -> T:
        """Run `work` in a transaction that is committed when this returns.

        What `work` raises undoes what it did. When the connection is lost at the commit the error
        says that it may have happened. It may run several times: the server gives up a
        transaction in favour of another when they would wait for each other.
        """
        return self.again(lambda connection: self._transact(connection, work))

    def once(self, statement: str, /, **parameters: Any) -> psycopg.Cursor[tuple[Any, ...]]:
        """Run one statement that is a transaction of its own; its rows are fetched already."""
        sql = self.sql[statement]
        return self.again(lambda connection: connection.execute(sql, parameters))

    def direct(self, statement: str, parameters: Mapping[str, Any]) -> Row | None:
        """Run one statement like `once`, past the driver's cursor; return its first row."""
        found = self._direct.get(statement)
        if found is None:
            found = self._direct[statement] = Direct.of(statement, self.sql[statement].decode())
        return self.again(lambda connection: first_row(connection, found, parameters))

    def read(self, statement: str, /, **parameters: Any) -> list[Any]:
        """Return all rows of one query; asked again when the connection turned out to be lost."""
        sql = self.sql[statement]
        return self.again(
            lambda connection: connection.execute(sql, parameters).fetchall(), when=LOST
        )

    def _transact(self, connection: Connection, work: Work[T]) -> T:
        with connection.transaction():
            return work(PostgresTransaction(connection, self.sql))

    def again(
        self,
        act: Callable[[Connection], T],
        *,
        when: tuple[type[psycopg.Error], ...] = AGAIN,
    ) -> T:
        """Do what one connection is needed for; again `when` it fails so, as long as time allows.

        Whatever happens, the first answer is there, or the last failure, within `PATIENCE`.
        """
        by = time.monotonic() + PATIENCE
        for left in reversed(range(TRIES)):
            try:
                with self.connection(by) as connection:
                    return act(connection)
            except Unavailable as error:
                undone = isinstance(error.__cause__, when) or is_stale(error.__cause__)
                if not (left and undone and time.monotonic() < by - CANCEL_PATIENCE):
                    raise
                time.sleep(random.uniform(0, 0.02 * (TRIES - left)))
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Let go of everything. Idempotent."""
        if os.getpid() == self._pid:
            self._lane.close()
