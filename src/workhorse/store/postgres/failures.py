"""From PostgreSQL's errors to the words of the caller."""

from __future__ import annotations

import re
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

SPENT: Final = (
    errors.InternalError_,
    errors.FeatureNotSupported,
    errors.ReadOnlySqlTransaction,
)
"""What a connection may get that is better made anew: its plans are of a schema that is no more,
or its server is a standby now."""

AGAIN: Final = (*DEADLOCKED, errors.LockNotAvailable)
"""The transaction changed nothing and may be tried again at once."""

LOST: Final = (psycopg.OperationalError,)
"""It may have been done: only a question may be asked again."""

NO_SCHEMA: Final = (errors.UndefinedTable, errors.InvalidSchemaName, errors.UndefinedFunction)
"""What is ours in the database is not there."""

DRIVER_ERRORS: Final = (psycopg.Error, UnicodeError, OverflowError)
"""What the driver raises, of its own or for a value it cannot send."""

MEND: Final = "Mend the URL. One in a file is read again for each new connection."

_STALE: Final = ("cache lookup failed", "could not open relation")
"""How internal errors begin, which are not translated."""
_STALE_PLAN: Final = "RevalidateCachedQuery"
"""The server's function that says, in its own language, that a plan's result has changed."""
_STATEMENT_MODE: Final = "statement pooling mode"
"""What PgBouncer says, in English only, of a transaction where it lends a statement at a time."""
_UNKNOWN_PARAMETER: Final = re.compile(r'invalid URI query parameter: "[a-z_]+"')


@contextmanager
def in_our_words(url: str) -> Iterator[None]:
    """Turn an error of a caller's session into one of ours; `url` has no credentials."""
    try:
        yield
    except NO_SCHEMA as error:
        raise ConfigurationError(
            f"The session's database is not that of the store {url}: {_reason(error)}.",
            hint="Give a session on the database that the app keeps its jobs in.",
        ) from error
    except DEADLOCKED as error:
        raise Unavailable(
            f"The session's transaction cannot go on beside another on {url}: {_reason(error)}.",
            hint="To wait is of no use: roll it back, and do all of it again.",
        ) from error
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
        case _ if isinstance(error, NO_SCHEMA):
            return StoreGone(
                f"The schema of {url} is not there, or not whole: {reason}.",
                hint="Run `workhorse migrate`, and start again; if it was renamed, rename it back.",
            )
        case errors.InsufficientPrivilege():
            return Unavailable(
                f"The role of {url} may not do this: {reason}.",
                hint="Grant it what the PostgreSQL guide lists under Roles; workers then go on.",
            )
        case errors.ReadOnlySqlTransaction():
            return Unavailable(
                f"{url} takes no writes now: {reason}.",
                hint="It is a standby, it is failing over, or default_transaction_read_only is on: "
                "`workhorse doctor` says which. Workers go on by themselves when it is over.",
            )
        case errors.LockNotAvailable():
            return Unavailable(
                f"{url} could not be changed: another transaction kept what was to be.",
                hint="Try again when it is over; `workhorse doctor` tells of one open for long.",
            )
        case _ if _STATEMENT_MODE in reason:
            return Unavailable(
                f"{url} cannot be used: {reason}.",
                hint="Set pool_mode = transaction in PgBouncer: there is no work without it.",
            )
        case errors.QueryCanceled():
            return Unavailable(f"{url} took too long: {reason}.")
        case _:
            return Unavailable(f"{url} cannot be used now: {reason}.")


def cannot_connect(error: psycopg.Error, url: str) -> WorkhorseError:
    """Return why there is no connection."""
    reason = _reason(error)
    if isinstance(error, psycopg.ProgrammingError) and not isinstance(error, REFUSED):
        return unreadable(url, reason)
    wrong = isinstance(error, REFUSED) or any(
        word in reason
        for word in ("does not exist", "authentication failed", "no password supplied")
    )
    if wrong:
        return Unavailable(f"{url} does not let us in: {reason}.", hint=MEND)
    return Unavailable(f"{url} cannot be reached: {reason}.")


def unreadable(url: str, reason: str = "") -> ConfigurationError:
    """Say that libpq cannot read a URL; what it quotes of it may be of a password."""
    about = f": {reason}" if _UNKNOWN_PARAMETER.fullmatch(reason) else ""
    return ConfigurationError(
        f"The URL of the store {url} cannot be read{about}.",
        hint="All of its parameters but `schema` are libpq's; what is special in a password is "
        "written with a %.",
    )


def is_stale(error: BaseException | None) -> bool:
    """Tell whether the server refused a plan of a schema that is no more: nothing was done."""
    if not isinstance(error, SPENT):
        return False
    return error.diag.source_function == _STALE_PLAN or _reason(error).startswith(_STALE)


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
