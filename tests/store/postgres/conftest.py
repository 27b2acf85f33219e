"""What only PostgreSQL promises is asked of PostgreSQL alone, also by raw SQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.services.postgres import Database
from workhorse.store.opening import open_store
from workhorse.store.postgres import PostgresStore


@pytest.fixture
def store(database: Database) -> Iterator[PostgresStore]:
    """A store on a database of the test's own, by the server's clock."""
    with closing(open_store(database.url)) as store:
        assert isinstance(store, PostgresStore)
        yield store
