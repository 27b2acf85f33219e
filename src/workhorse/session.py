"""The caller's own transaction, in whatever holds it: the driver, SQLAlchemy, or Django.

None of them is ever imported here.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from workhorse.domain.errors import InvalidJob

if TYPE_CHECKING:
    from workhorse.domain.job import Enqueued, NewJob
    from workhorse.store.protocol import ClientStore

_ASYNC_DRIVERS: Final = {"asyncpg", "aiosqlite"}


def enqueue_in(session: Any, store: ClientStore, jobs: Sequence[NewJob]) -> list[Enqueued]:
    """Store jobs in the transaction of `session`.

    Raises `InvalidJob` for one that can take none, or that belongs to an event loop.
    """
    if _is_async(session):
        raise InvalidJob(
            f"session={type(session).__name__} belongs to an event loop.",
            hint="Enqueue with it from there: `await …aenqueue(…)`.",
        )
    return store.enqueue_with(_connection_of(session), jobs)


async def aenqueue_in(session: Any, store: ClientStore, jobs: Sequence[NewJob]) -> list[Enqueued]:
    """`enqueue_in`, also for a session that belongs to the running event loop."""
    if not _is_async(session):
        return enqueue_in(session, store, jobs)
    return await store.aenqueue_with(await _async_connection_of(session), jobs)


def _is_async(session: Any) -> bool:
    """Tell whether what is asked of a session is awaited."""
    kind = type(session)
    return (
        inspect.iscoroutinefunction(getattr(kind, "execute", None))
        or kind.__module__.partition(".")[0] in _ASYNC_DRIVERS
    )


def _connection_of(session: Any) -> Any:
    """Return the driver's connection under a session or connection of SQLAlchemy or Django.

    SQLAlchemy is told that its transaction has begun: else its commit would find nothing to
    commit. What is none of these is returned as it is: the store knows its own driver's
    connections. Raises `InvalidJob` for one of SQLAlchemy that is closed.
    """
    _refuse_closed(session)
    found = session
    # A method is SQLAlchemy's; Django has the driver's own there, which on SQLite can be called.
    if inspect.ismethod(getattr(found, "connection", None)):
        found = found.connection()
    # Asked of its type: the driver's own, when closed, raises whatever is asked of it.
    if callable(getattr(type(found), "in_transaction", None)) and not found.in_transaction():
        found.begin()
    inner = getattr(found, "connection", None)
    return getattr(inner, "driver_connection", inner) or found


async def _async_connection_of(session: Any) -> Any:
    """`_connection_of`, for one that is asynchronous.

    SQLAlchemy begins a transaction of the driver's with the first statement in it: so it is
    given one.
    """
    _refuse_closed(session)
    found = session
    if callable(getattr(type(found), "connection", None)):
        found = await found.connection()
    if not callable(getattr(type(found), "get_raw_connection", None)):
        return found
    if not found.in_transaction():
        await found.begin()
    await found.exec_driver_sql("select 1")
    return (await found.get_raw_connection()).driver_connection


def _refuse_closed(session: Any) -> None:
    if getattr(session, "closed", False) is True:
        raise InvalidJob("The session is closed.", hint="Give an open one.")
