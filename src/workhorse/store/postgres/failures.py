"""From PostgreSQL's errors to the words of the caller."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg
from psycopg import errors

from workhorse.domain.errors import (
    ConfigurationError,
    InvalidJob,
    StoreFull,
    StoreGone,
    Unavailable,
    WorkhorseError,
)

REFUSED: Final = (
    errors.InvalidAuthorizationSpecification,
    errors.InvalidPassword,
    errors.InvalidCatalogName,
)
"""What the server says when the URL is wrong: waiting does not help."""

DEADLOCKED: Final = (errors.SerializationFailure, errors.DeadlockDetected)
"""The server gave the transaction up in favour of another that is under way."""

STALE: Final = (errors.InternalError_, errors.FeatureNotSupported)
"""What a connection gets for a statement it prepared before the schema was made anew, or changed.
"""

OF_NO_USE: Final = (*STALE, errors.ReadOnlySqlTransaction)
"""Errors after which another connection is to be made: perhaps to another server."""

AGAIN: Final = (*DEADLOCKED, errors.LockNotAvailable, *STALE)
"""The transaction changed nothing and may be tried again at once."""

LOST: Final = (psycopg.OperationalError, *STALE)
"""It may have been done: only a question may be asked again."""

DRIVER_ERRORS: Final = (psycopg.Error, UnicodeError, OverflowError)
"""What the driver raises, of its own or for a value it cannot send."""


@contextmanager
def in_our_words(url: str) -> Iterator[None]:
    """Turn an error of the driver into one of ours; `url` has no credentials."""
    try:
        yield
    except DRIVER_ERRORS as error:
        raise translated(error, url) from error


def translated(error: Exception, url: str) -> WorkhorseError:
    """Return what an error means: `InvalidJob` tells of what was given, the rest of the store."""
    if not isinstance(error, psycopg.Error):
        return InvalidJob(f"The store cannot hold this: {error}.")
    reason = _reason(error)
    match error:
        case psycopg.DataError() | psycopg.IntegrityError():
            return InvalidJob(f"The store cannot hold this: {reason}.")
        case errors.DiskFull():
            return StoreFull(
                f"The disk under {url} is full; nothing was changed.",
                hint="Free some space: work resumes by itself.",
            )
        case errors.UndefinedTable() | errors.InvalidSchemaName() | errors.UndefinedFunction():
            return StoreGone(
                f"The schema of {url} is not there, or not whole: {reason}.",
                hint="Run `workhorse migrate`, and start again.",
            )
        case errors.InsufficientPrivilege():
            return Unavailable(
                f"The role of {url} may not do this: {reason}.",
                hint="Grant it what the PostgreSQL guide lists under Roles; workers then go on.",
            )
        case errors.ReadOnlySqlTransaction():
            return Unavailable(f"{url} is read-only now: a standby, or it is failing over.")
        case errors.QueryCanceled():
            return Unavailable(f"{url} took too long: {reason}.")
        case _:
            return Unavailable(f"{url} cannot be used now: {reason}.")


def cannot_connect(error: psycopg.Error, url: str) -> WorkhorseError:
    """Return why there is no connection."""
    reason = _reason(error)
    if isinstance(error, psycopg.ProgrammingError):
        return ConfigurationError(
            f"{url} cannot be the URL of a store: {reason}.",
            hint="All of its parameters but `schema` are libpq's.",
        )
    wrong = isinstance(error, REFUSED) or any(
        word in reason
        for word in ("does not exist", "authentication failed", "no password supplied")
    )
    if wrong:
        return Unavailable(f"{url} does not let us in: {reason}.", hint="Mend the URL.")
    return Unavailable(f"{url} cannot be reached: {reason}.")


def is_gone(connection: psycopg.Connection) -> bool:
    """Tell whether a connection is of no more use."""
    return connection.closed or connection.broken


def _reason(error: psycopg.Error) -> str:
    """Return the line that matters of what the server, or the driver, says."""
    said = error.diag.message_primary or str(error)
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    if not lines:
        return "no reason given"
    line = next((line for line in lines if "FATAL:" in line), lines[0])
    return line.rpartition("FATAL:")[2].strip().rstrip(".")
