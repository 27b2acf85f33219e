"""The caller's own transaction, from whatever holds it: the driver, SQLAlchemy, or Django."""

from __future__ import annotations

from typing import Any

from workhorse.domain.errors import InvalidJob


def connection_of(session: Any) -> Any:
    """Return the driver's connection under a session or connection of SQLAlchemy or Django.

    SQLAlchemy is told that its transaction has begun: else its commit would find nothing to
    commit. Neither is ever imported here. What is none of these is returned as it is: the store
    knows its own driver's connections. Raises `InvalidJob` for one of SQLAlchemy that is closed.
    """
    if getattr(session, "closed", False) is True:
        raise InvalidJob("The session is closed.", hint="Give an open one.")
    found = session
    if callable(getattr(found, "connection", None)):
        found = found.connection()
    # Asked of its type: the driver's own, when closed, raises whatever is asked of it.
    if callable(getattr(type(found), "in_transaction", None)) and not found.in_transaction():
        found.begin()
    inner = getattr(found, "connection", None)
    return getattr(inner, "driver_connection", inner) or found
