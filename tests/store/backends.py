"""The kinds of store that the suite runs over. Another joins by its line in `BACKENDS`."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

LOG_BOUND: Final = 64 * 1024 * 1024
"""What the log of an SQLite store in use stays under, in bytes."""


class Backend(Protocol):
    """One kind of store. `open_store` opens what it gives the URL of, any number of times."""

    name: str

    def place(self, folder: Path) -> AbstractContextManager[str]:
        """Give the URL of an empty store for one test, and clear it away afterwards."""

    def connect(self, url: str) -> AbstractContextManager[Any]:
        """Give a caller's own connection to the same database, as `enqueue_with` takes it.

        It has `execute`, `commit` and `rollback`, and begins a transaction by itself.
        """

    def sqlalchemy_url(self, url: str) -> str:
        """Return the same database as SQLAlchemy spells it."""

    def excess(self, url: str) -> str | None:
        """Say what of a store in use has grown beyond its bound, if anything has."""


class Sqlite:
    """A file in the test's folder."""

    name = "sqlite"

    @contextmanager
    def place(self, folder: Path) -> Iterator[str]:
        yield f"sqlite:///{folder / 'jobs.db'}"

    def connect(self, url: str) -> AbstractContextManager[sqlite3.Connection]:
        return closing(sqlite3.connect(self._path(url), timeout=0))

    def sqlalchemy_url(self, url: str) -> str:
        return f"sqlite:///{self._path(url)}"

    def excess(self, url: str) -> str | None:
        log = self._path(url).with_name("jobs.db-wal")
        size = log.stat().st_size if log.exists() else 0
        return f"the log has {size:,} bytes" if size >= LOG_BOUND else None

    def _path(self, url: str) -> Path:
        return Path(url.removeprefix("sqlite:///"))


BACKENDS: Final[tuple[Backend, ...]] = (Sqlite(),)
