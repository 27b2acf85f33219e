"""The record in its order, while others add to it.

An event draws its number when it is written and is seen when its transaction is committed: one
with a lower number may come later. Who reads on from the last number seen would never see it. But
whoever adds events has a lock on their table before the first number, and until the end. So a page
is looked at, then who holds that lock. Once they are over, all that will ever stand before the
page's last event can be seen: the page is read again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from itertools import takewhile
from typing import Any, Final, TypeAlias

from workhorse.store.postgres.connection import PATIENCE
from workhorse.store.postgres.database import Database

Row: TypeAlias = tuple[Any, ...]
Writers: TypeAlias = dict[str, int | None]
"""Transactions that may have events which are not seen yet, and since when they are open: the
store's time in ms, or None when this role may not know."""

SHORT: Final = 0.5
"""Seconds that the whole record waits for those who write."""
MARGIN: Final = 300_000
"""Milliseconds. When a transaction stays open, a caller's for example, only what was written so
long before it began is shown: an event says when its statement began, which may have waited for
something before it drew the number."""


def of_all(db: Database, **page: Any) -> list[Row]:
    """Return a page of the whole record, without what a transaction that is open may precede."""
    found = db.read("events.all", **page)
    if not found:
        return []
    left = _outlasted(db, SHORT, ours=False)
    found = _again(db, "events.all", page, last=found[-1][0])
    if not left:
        return found
    begun = [since for since in left.values() if since is not None]
    known_by = min(begun) - MARGIN if len(begun) == len(left) else 0
    return list(takewhile(lambda row: row[1] < known_by, found))


def of_job(db: Database, **page: Any) -> list[Row]:
    """Return a page of one job's record.

    Only the store's own short transactions add to what can be seen of a job: a caller's begins
    the record of a new one.
    """
    found = db.read("events.of_job", **page)
    if not found:
        return []
    _outlasted(db, PATIENCE, ours=True)
    return _again(db, "events.of_job", page, last=found[-1][0])


def _again(db: Database, statement: str, page: Mapping[str, Any], *, last: int) -> list[Row]:
    """Read a page again: what it has up to its `last` number of before."""
    return [row for row in db.read(statement, **page) if row[0] <= last]


def _outlasted(db: Database, patience: float, *, ours: bool) -> Writers:
    """Wait for those who write now, all or only `ours`; return those that are not over then."""
    began = time.monotonic()
    first = writers = _writers(db, ours=ours)
    pause = 0.001
    while writers and time.monotonic() - began < patience:
        time.sleep(pause)
        pause = min(2 * pause, 0.05)
        now = _writers(db, ours=ours)
        writers = {one: since for one, since in first.items() if one in now}
    return writers


def _writers(db: Database, *, ours: bool) -> Writers:
    return dict(db.read("events.writers", ours=ours))
