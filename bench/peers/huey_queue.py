"""huey on SQLite at a chosen durability."""

from __future__ import annotations

from typing import Any

from huey import SqliteHuey
from huey.storage import SqliteStorage


class NormalStorage(SqliteStorage):  # type: ignore[misc]  # huey has no types
    """huey's storage at synchronous=NORMAL, which none of its own flags gives."""

    def _create_connection(self) -> Any:
        connection = super()._create_connection()
        connection.execute("pragma synchronous=1")
        return connection


def make(filename: str, durability: str) -> Any:
    """Return huey as lean as it gets: it keeps no results."""
    common: dict[str, Any] = {"filename": filename, "results": False}
    if durability == "normal":
        return SqliteHuey("bench", storage_class=NormalStorage, **common)
    return SqliteHuey("bench", fsync=durability == "full", **common)
