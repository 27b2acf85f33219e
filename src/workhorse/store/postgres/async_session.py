"""Taking part in a transaction that is not ours and belongs to an event loop."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import psycopg
from psycopg import errors

from workhorse.domain.errors import InvalidJob
from workhorse.store.postgres.asking import Ask, Asking, Rows, answered_later
from workhorse.store.postgres.direct import numbered
from workhorse.store.postgres.session import (
    blaming_the_session,
    closed,
    in_transaction,
    no_transaction,
    refuse_unfit,
)
from workhorse.store.postgres.values import AsyncSessionCursor

T = TypeVar("T")


class Caller(Protocol):
    """A caller's connection, by whichever driver. What it raises is psycopg's, or ours."""

    def refuse_unfit(self) -> None:
        """Raise `InvalidJob` for a connection that can take no job."""

    @property
    def in_transaction(self) -> bool:
        """Whether there is a transaction, failed or not."""

    async def do(self, command: str) -> None:
        """Run a command without parameters."""

    async def answer(self, ask: Ask) -> Rows:
        """Run a statement; return its rows."""


def caller_of(connection: Any, sql: Mapping[str, bytes]) -> Caller | None:
    """Return how to use a connection, with our statements in `sql`; None when it is no such."""
    if isinstance(connection, psycopg.AsyncConnection):
        return _OnPsycopg(connection, sql)
    asyncpg = sys.modules.get("asyncpg")  # whoever has one of its connections has imported it
    if asyncpg is not None and isinstance(connection, asyncpg.Connection):
        return _OnAsyncpg(connection, sql, asyncpg)
    return None


async def enqueue_in(caller: Caller, asking: Asking[T]) -> T:
    """Do all of it in the caller's transaction, or, when this raises, none of it."""
    caller.refuse_unfit()
    with blaming_the_session():
        await caller.do("savepoint workhorse")
        try:
            found = await answered_later(asking, caller.answer)
        except BaseException:
            if caller.in_transaction:
                await caller.do("rollback to workhorse")
            raise
        await caller.do("release workhorse")
        return found


class _OnPsycopg:
    """`Caller` of psycopg's."""

    def __init__(self, connection: psycopg.AsyncConnection[Any], sql: Mapping[str, bytes]) -> None:
        self._connection = connection
        self._sql = sql

    def refuse_unfit(self) -> None:
        refuse_unfit(self._connection)

    @property
    def in_transaction(self) -> bool:
        return in_transaction(self._connection)

    async def do(self, command: str) -> None:
        await self._connection.execute(command.encode(), prepare=False)

    async def answer(self, ask: Ask) -> Rows:
        async with AsyncSessionCursor(self._connection) as cursor:
            await cursor.execute(self._sql[ask.statement], ask.parameters)
            return await cursor.fetchall() if cursor.description else []


class _OnAsyncpg:
    """`Caller` of asyncpg's; a connection that a pool has lent will do."""

    def __init__(self, connection: Any, sql: Mapping[str, bytes], asyncpg: Any) -> None:
        self._connection = connection
        self._sql = sql
        self._asyncpg = asyncpg

    def refuse_unfit(self) -> None:
        with self._as_psycopg():
            if self._connection.is_closed():
                raise closed()
            if not self._connection.is_in_transaction():
                raise no_transaction()

    @property
    def in_transaction(self) -> bool:
        return not self._connection.is_closed() and bool(self._connection.is_in_transaction())

    async def do(self, command: str) -> None:
        with self._as_psycopg():
            await self._connection.execute(command)

    async def answer(self, ask: Ask) -> Rows:
        text, names = numbered(self._sql[ask.statement].decode())
        with self._as_psycopg():
            rows: Rows = await self._connection.fetch(
                text,
                *(ask.parameters[name] for name in names),
                record_class=self._asyncpg.Record,
            )
        return rows

    @contextmanager
    def _as_psycopg(self) -> Iterator[None]:
        """Raise what psycopg would: the server's errors have the same codes everywhere."""
        try:
            yield
        except self._asyncpg.PostgresError as error:
            raise _error_of(error.sqlstate)(str(error)) from error
        except self._asyncpg.InterfaceError as error:
            if isinstance(error, ValueError):  # a value that it cannot send
                raise psycopg.DataError(str(error)) from error
            raise InvalidJob(f"The session cannot be used: {error}.") from error
        except OSError as error:
            raise psycopg.OperationalError(str(error)) from error


def _error_of(sqlstate: str | None) -> type[psycopg.Error]:
    try:
        return errors.lookup(sqlstate or "")
    except KeyError:
        return psycopg.DatabaseError
