"""Taking part in a transaction that is not ours."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from workhorse.domain.errors import InvalidJob, Unavailable

_LEGACY: Final = -1
"""`sqlite3.LEGACY_TRANSACTION_CONTROL`, which Python has since 3.12; the only way before."""

_BEGIN_AGAIN: Final = (
    "roll it back and do all of it again; one begun with `begin immediate` is not overtaken."
)


@contextmanager
def part_of_transaction(connection: sqlite3.Connection, path: Path) -> Iterator[None]:
    """Do all of the block in the caller's transaction, or, when it raises, none of it.

    A connection in the driver's default mode begins a transaction at the first statement that
    writes; so it does here. Raises `InvalidJob` for one that has no transaction and would
    commit each statement by itself, one that cannot be used or may not write, and one that is
    not to the store at `path`.
    """
    with _blaming_the_session(path), _texts_as_str(connection):
        _refuse_another_file(connection, path)
        if not connection.in_transaction:
            if connection.isolation_level is None or _commits_by_itself(connection):
                raise InvalidJob(
                    "The connection has no open transaction to enqueue in.",
                    hint="Begin one, or enqueue without a session.",
                )
            connection.execute(f"begin {connection.isolation_level}")
        connection.execute("savepoint workhorse")
        try:
            yield
        except BaseException:
            if connection.in_transaction:  # SQLite ends it, for example, when the disk is full
                connection.execute("rollback to workhorse")
                connection.execute("release workhorse")
            raise
        connection.execute("release workhorse")


@contextmanager
def _texts_as_str(connection: sqlite3.Connection) -> Iterator[None]:
    """Read texts as such meanwhile, whatever the caller has its own read as."""
    text_factory, connection.text_factory = connection.text_factory, str
    try:
        yield
    finally:
        connection.text_factory = text_factory


@contextmanager
def _blaming_the_session(path: Path) -> Iterator[None]:
    """Word the errors that are the connection's own: to try again in it is of no use."""
    try:
        yield
    except sqlite3.ProgrammingError as error:
        raise InvalidJob(
            f"The session cannot be used: {str(error).rstrip('.')}.",
            hint="Give a connection that is open, on the thread that opened it.",
        ) from error
    except sqlite3.Error as error:
        match getattr(error, "sqlite_errorcode", None):
            case sqlite3.SQLITE_ERROR:
                raise InvalidJob(f"The connection is not to a Workhorse store: {error}.") from error
            case sqlite3.SQLITE_BUSY_SNAPSHOT:
                raise Unavailable(
                    "The session's transaction has read what another has changed since, and may "
                    f"not write any more: {error}.",
                    hint=f"To wait is of no use: {_BEGIN_AGAIN}",
                ) from error
            case sqlite3.SQLITE_BUSY:
                raise Unavailable(
                    f"The store {path} is busy: another transaction writes to it.",
                    hint=f"If yours has read before, {_BEGIN_AGAIN}",
                ) from error
            case sqlite3.SQLITE_READONLY:
                raise InvalidJob(
                    f"The session is read-only: {error}.", hint="Give one that may write."
                ) from error
        raise


def _refuse_another_file(connection: sqlite3.Connection, path: Path) -> None:
    """Raise `InvalidJob` unless the store is the connection's file, or attached to it."""
    cursor = connection.cursor()
    cursor.row_factory = None
    files = [os.fsdecode(file) for _, _, file in cursor.execute("pragma database_list") if file]
    if str(path) not in files and not any(_is_same(file, path) for file in files):
        other = files[0] if files else "no file"
        raise InvalidJob(
            f"The connection is not to the store {path}, but to {other}.",
            hint="Give a session on the database that the app keeps its jobs in.",
        )


def _is_same(file: str, path: Path) -> bool:
    try:
        return os.path.samefile(file, path)
    except OSError:
        return False


def _commits_by_itself(connection: sqlite3.Connection) -> bool:
    return getattr(connection, "autocommit", _LEGACY) not in {_LEGACY, False}
