"""What the three faces of the store have in common."""

from __future__ import annotations

from workhorse.store.sqlite.clock import Clock
from workhorse.store.sqlite.connection import Database


class SqliteBase:
    """A database and a clock."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._db = database
        self._clock = clock
