"""Taking part in a transaction that is not ours."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from workhorse.domain.errors import InvalidJob

_LEGACY: Final = -1
"""`sqlite3.LEGACY_TRANSACTION_CONTROL`, which Python has since 3.12; the only way before."""


@contextmanager
def part_of_transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Do all of the block in the caller's transaction, or, when it raises, none of it.

    A connection in the driver's default mode begins a transaction at the first statement that
    writes; so it does here. Raises `InvalidJob` for one that has no transaction and would
    commit each statement by itself, and for one to a database that is not a store.
    """
    if not connection.in_transaction:
        if connection.isolation_level is None or _commits_by_itself(connection):
            raise InvalidJob("The connection has no open transaction to enqueue in.")
        connection.execute(f"begin {connection.isolation_level}")
    connection.execute("savepoint workhorse")
    try:
        yield
    except BaseException as error:
        if connection.in_transaction:  # SQLite ends it, for example, when the disk is full
            connection.execute("rollback to workhorse")
            connection.execute("release workhorse")
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR:
            raise InvalidJob(f"The connection is not to a Workhorse store: {error}.") from error
        raise
    connection.execute("release workhorse")


def _commits_by_itself(connection: sqlite3.Connection) -> bool:
    return getattr(connection, "autocommit", _LEGACY) not in {_LEGACY, False}
