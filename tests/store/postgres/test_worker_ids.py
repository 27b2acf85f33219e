"""No id of a worker is given twice, whatever another server knows of those that were given."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from tests.services.postgres import Database
from tests.store.hands import Worker
from workhorse.store.opening import open_store
from workhorse.store.postgres import PostgresStore


def test_ids_are_given_one_by_one(store: PostgresStore) -> None:
    """They stay short, and are in the order of registration."""
    first = Worker(store).id
    assert [Worker(store).id for _ in range(3)] == [first + 1, first + 2, first + 3]


def test_another_server_passes_many_ids_by(store: PostgresStore, database: Database) -> None:
    """Once, before it gives the first: it may not know of the last that were given."""
    before = Worker(store).id
    database.sql("update workhorse.server set started_at = 'epoch'")  # as its standby has it
    with closing(open_store(database.url)) as other, ThreadPoolExecutor() as threads:
        given = sorted(worker.id for worker in threads.map(Worker, [store, other] * 4))
    assert given == list(range(before + 1001, before + 1009))
