"""Whether the store is well: facts and findings for `doctor` and `health`."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Final

from workhorse.store.protocol import StoreHealth
from workhorse.store.sqlite.database import Database
from workhorse.store.sqlite.filesystem import nearly_full
from workhorse.store.sqlite.log import LOG_LIMIT
from workhorse.store.statements import migrations

REMEDY: Final = (
    "Workhorse takes turns to write and so avoids it; let no other program write this file, "
    "or use a Python with SQLite 3.51.3 or later."
)


class HealthVerbs:
    """The store's own examination."""

    _db: Database
    url: str

    def health(self, *, listen_url: str | None = None) -> StoreHealth:  # noqa: ARG002 - no bell
        ((schema,),) = self._db.read("health.schema")
        return StoreHealth(
            url=self.url,
            version=f"SQLite {sqlite3.sqlite_version}",
            schema=schema,
            size=self._db.size(),
            findings=tuple(self._findings(schema)),
        )

    def _findings(self, schema: int) -> Iterator[tuple[str, str]]:
        newest = migrations("sqlite")[-1].number
        if schema != newest:
            yield "error", f"The schema is at {schema}, this Workhorse needs {newest}: migrate."
        if may_corrupt(sqlite3.sqlite_version_info):
            yield (
                "warn",
                f"SQLite {sqlite3.sqlite_version} has the WAL-reset defect; {REMEDY}",
            )
        if nearly_full(self._db.file.real.parent):
            yield "warn", f"The disk under {self._db.path} is nearly full."
        if self._db.log.size() > 2 * LOG_LIMIT:
            yield (
                "warn",
                f"The log of {self._db.path} is long: some reader keeps a transaction open.",
            )
        ((silent,),) = self._db.read("health.silent_workers")
        if silent:
            yield "warn", f"{silent} worker(s) have fallen silent and were not yet found lost."


def may_corrupt(version: tuple[int, int, int]) -> bool:
    """Tell whether this SQLite can lose pages when two connections reset the log at once.

    From 3.7.0 to 3.51.2, but for the repaired 3.44.6 and 3.50.7 and what follows them in
    their branches (https://sqlite.org/wal.html#walresetbug).
    """
    repaired = {(3, 44): 6, (3, 50): 7}
    if version[2] >= repaired.get(version[:2], 1_000):
        return False
    return (3, 7, 0) <= version < (3, 51, 3)
