"""The edges of jobs that no attempt holds: promote, unblock, cancel, and what follows from them.

Functions here run inside the caller's open transaction; ids travel as JSON arrays.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final

from workhorse.store.sqlite.fast_json import compact, from_json
from workhorse.store.sqlite.rows import compact_or_none
from workhorse.store.sqlite.statements import statements

JOBS: Final = statements("jobs")
EVENTS: Final = statements("events")
DEPENDENCIES: Final = statements("dependencies")


def ids(connection: sqlite3.Connection, sql: str, **parameters: Any) -> list[Any]:
    """Return the list that a query aggregates into one row."""
    (text,) = connection.execute(sql, parameters).fetchone()
    return from_json(text)  # type: ignore[no-any-return]  # json_group_array


def record(
    connection: sqlite3.Connection,
    name: str,
    now: int,
    *,
    job_id: int | None = None,
    attempt: int | None = None,
    worker: int | None = None,
    data: Mapping[str, Any] | None = None,
) -> None:
    """Write one event."""
    connection.execute(
        EVENTS["add"],
        {
            "now": now,
            "name": name,
            "job_id": job_id,
            "attempt": attempt,
            "worker": worker,
            "data": compact_or_none(data),
        },
    )


def promote_due(connection: sqlite3.Connection, now: int, limit: int) -> int:
    """promote: scheduled → available, for those that are due."""
    due = ids(connection, JOBS["due"], now=now, limit=limit)
    _move(connection, JOBS["promote"], "promote", due, now)
    return len(due)


def unblock_after(connection: sqlite3.Connection, succeeded: Sequence[int], now: int) -> None:
    """unblock: blocked → available, for jobs whose last dependency is among `succeeded`."""
    waiting = ids(connection, DEPENDENCIES["waiting"], ids=compact(succeeded))
    if waiting:
        connection.execute(DEPENDENCIES["satisfy"], {"ids": compact(succeeded)})
        ready = ids(connection, DEPENDENCIES["ready"], ids=compact(waiting), now=now)
        _move(connection, DEPENDENCIES["unblock"], "unblock", ready, now)


def unblock_ready(connection: sqlite3.Connection, now: int) -> int:
    """unblock: the same, for every blocked job that waits for nothing any more."""
    ready = ids(connection, DEPENDENCIES["all_ready"], now=now)
    _move(connection, DEPENDENCIES["unblock"], "unblock", ready, now)
    return len(ready)


def cancel_jobs(
    connection: sqlite3.Connection, targets: Sequence[int], reason: str, now: int
) -> int:
    """cancel: scheduled, blocked, available → cancelled, and whatever waits for them."""
    _cancel(connection, targets, reason, now)
    cancelled = len(targets)
    if any_dependencies(connection):
        connection.execute(DEPENDENCIES["forget"], {"ids": compact(targets)})
        for target in targets:
            cancelled += cancel_dependents(connection, target, "cancelled", now)
    return cancelled


def cancel_dependents(connection: sqlite3.Connection, ended: int, state: str, now: int) -> int:
    """cancel: blocked → cancelled, for all that wait, near or far, for one that did not succeed."""
    cancelled, causes = 0, deque([(ended, state)])
    while causes:
        cause, state = causes.popleft()
        waiting = ids(connection, DEPENDENCIES["waiting"], ids=compact([cause]))
        if waiting:
            connection.execute(DEPENDENCIES["forget"], {"ids": compact(waiting)})
            _cancel(connection, waiting, f"job {cause} {state}", now)
            causes.extend((one, "cancelled") for one in waiting)
            cancelled += len(waiting)
    return cancelled


def _cancel(connection: sqlite3.Connection, targets: Sequence[int], reason: str, now: int) -> None:
    among = {"ids": compact(targets), "now": now, "reason": reason}
    connection.execute(JOBS["cancel"], among)
    connection.execute(JOBS["drop_cancelled"], among)
    _record_all(connection, "cancel", targets, now, {"outcome": "cancelled", "reason": reason})


def any_dependencies(connection: sqlite3.Connection) -> bool:
    """Tell whether any job waits for another."""
    return bool(connection.execute(DEPENDENCIES["any"]).fetchone()[0])


def _move(
    connection: sqlite3.Connection, sql: str, verb: str, targets: Sequence[int], now: int
) -> None:
    if targets:
        connection.execute(sql, {"ids": compact(targets)})
        _record_all(connection, verb, targets, now, None)


def _record_all(
    connection: sqlite3.Connection,
    name: str,
    targets: Sequence[int],
    now: int,
    data: Mapping[str, Any] | None,
) -> None:
    among = {"ids": compact(targets), "now": now, "name": name, "data": compact_or_none(data)}
    connection.execute(EVENTS["for_jobs"], among)
