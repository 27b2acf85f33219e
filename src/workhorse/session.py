"""The caller's own transaction, from whatever holds it: `sqlite3`, or SQLAlchemy on SQLite."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import Any

from workhorse.domain.errors import InvalidJob


def connection_of(session: Any) -> sqlite3.Connection:
    """Return the connection under a session or connection of SQLAlchemy, or the one given.

    SQLAlchemy is told that its transaction has begun: else its commit would find nothing to
    commit. It is never imported here. Raises `InvalidJob` for anything else.
    """
    found = session
    if callable(getattr(found, "connection", None)):
        found = found.connection()
    if callable(getattr(found, "in_transaction", None)) and not found.in_transaction():
        found.begin()
    with contextlib.suppress(AttributeError):
        found = found.connection.driver_connection
    if not isinstance(found, sqlite3.Connection):
        raise InvalidJob(
            f"session={type(session).__name__} is no SQLite transaction.",
            hint="Give a sqlite3.Connection, or an SQLAlchemy session or connection on SQLite.",
        )
    return found
