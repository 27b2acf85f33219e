"""What only SQLite promises is asked of SQLite alone, also by raw SQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.store.backends import Backend, Sqlite
from workhorse.store.protocol import Store


@pytest.fixture
def backend() -> Backend:
    return Sqlite()


@pytest.fixture
def path(url: str) -> Path:
    """The file of the store."""
    return Path(url.partition("?")[0].removeprefix("sqlite:///"))


@pytest.fixture
def raw(store: Store, path: Path) -> Iterator[sqlite3.Connection]:
    """A connection of another program to the store's file, which commits each statement."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as raw:
        yield raw
