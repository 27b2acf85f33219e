"""A statement straight through libpq, for what is asked once per job.

The driver's cursor adapts, counts and remembers; for a statement of a few plain values that takes
its caller longer than all the rest of the call.
"""

from __future__ import annotations

import math
import re
import select
import time
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeAlias

import psycopg
from psycopg import pq
from psycopg.errors import error_from_result

from workhorse.store.postgres.connection import Connection

Row: TypeAlias = list[Any]
"""One row in PostgreSQL's own words: texts, and None. Numbers are digits."""

_PLACEHOLDER: Final = re.compile(r"%\((\w+)\)[sb]")
_NOT_PREPARED: Final = b"26000"
"""A statement is not there: the driver lets go of all of them after a transaction was undone."""
_GOOD: Final = (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK)


class Direct(NamedTuple):
    """A statement of numbers, texts and booleans as parameters; the server infers which."""

    name: bytes
    sql: bytes
    parameters: tuple[str, ...]

    @classmethod
    def of(cls, name: str, sql: str) -> Direct:
        """Return a statement with named parameters as libpq takes it."""
        text, parameters = numbered(sql)
        return cls(name.encode(), text.encode(), parameters)


def numbered(sql: str) -> tuple[str, tuple[str, ...]]:
    """Return a statement whose parameters are numbered, as the server takes it, and their names."""
    names = tuple(dict.fromkeys(_PLACEHOLDER.findall(sql)))
    return _PLACEHOLDER.sub(lambda found: f"${names.index(found[1]) + 1}", sql), names


def first_row(
    connection: Connection, statement: Direct, parameters: Mapping[str, Any]
) -> Row | None:
    """Run a statement and return its first row.

    Raises what a cursor would, and like one ends within the connection's patience. A connection
    that is interrupted meanwhile is closed.
    """
    values = [_text(parameters[name]) for name in statement.parameters]
    try:
        found = _ask(connection, statement, values)
    except BaseException:
        if connection.pgconn.transaction_status == pq.TransactionStatus.ACTIVE:
            connection.close()
        raise
    if found.status not in _GOOD:
        raise error_from_result(found)
    if not found.ntuples:
        return None
    row = [found.get_value(0, column) for column in range(found.nfields)]
    return [None if value is None else value.decode() for value in row]


def _ask(connection: Connection, statement: Direct, values: list[bytes | None]) -> pq.abc.PGresult:
    pgconn = connection.pgconn
    if connection.pooled:
        pgconn.send_query_params(statement.sql, values)
        return _answer(connection)
    if statement.name in connection.prepared:
        pgconn.send_query_prepared(statement.name, values)
        found = _answer(connection)
        if found.error_field(pq.DiagnosticField.SQLSTATE) != _NOT_PREPARED:
            return found
        connection.prepared.clear()
    pgconn.send_prepare(statement.name, statement.sql)
    found = _answer(connection)
    if found.status not in _GOOD:
        return found
    connection.prepared.add(statement.name)
    pgconn.send_query_prepared(statement.name, values)
    return _answer(connection)


def _answer(connection: Connection) -> pq.abc.PGresult:
    """Wait for the one result of what was sent."""
    pgconn = connection.pgconn
    by = time.monotonic() + connection.left()
    while pgconn.flush():  # it is long: the server may want to be read before it reads on
        both = select.poll()
        both.register(pgconn.socket, select.POLLIN | select.POLLOUT)
        _wait(connection, both, by)
    found = None
    while True:
        while pgconn.is_busy():  # else to get a result would block, deadline or not
            _wait(connection, connection.incoming, by)
        result = pgconn.get_result()
        if result is None:
            break
        found = result
    assert found is not None
    connection.answer_by = math.inf
    return found


def _wait(connection: Connection, poll: select.poll, by: float) -> None:
    """Read what comes in, until the socket is ready for what `poll` asks."""
    if not poll.poll(max(0.0, by - time.monotonic()) * 1000):
        raise connection.given_up()
    connection.pgconn.consume_input()


def _text(value: object) -> bytes | None:
    """Return a value as PostgreSQL reads it."""
    match value:
        case None:
            return None
        case str():
            if "\0" in value:
                raise psycopg.DataError("text cannot hold NUL")
            return value.encode()
        case bool():
            return b"t" if value else b"f"
        case int():
            return b"%d" % value
        case float():
            return b"%r" % float(value)
        case _:
            raise psycopg.DataError(f"a {type(value).__name__} is no plain value")
