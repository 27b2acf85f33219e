"""The database itself refuses what may not be: asked by raw SQL, behind the store's back."""

from __future__ import annotations

from typing import LiteralString

import psycopg
import pytest

from tests.services.postgres import Database
from tests.store.hands import OK, Worker, put
from workhorse.store.protocol import Store


@pytest.mark.parametrize(
    "change",
    [
        "update workhorse.events set name = 'fail'",
        "update workhorse.events set at = at + 1 where name = 'claim'",
        "delete from workhorse.events",
        "delete from workhorse.events where name = 'claim'",
        "delete from workhorse.events where job_id is null",
        "truncate workhorse.events",
        "truncate workhorse.jobs, workhorse.history, workhorse.events cascade",
    ],
)
def test_the_record_is_append_only(store: Store, database: Database, change: LiteralString) -> None:
    """No event is ever changed, and none is removed while its job is there."""
    put(store)
    Worker(store).run(OK)
    before = store.events()
    with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
        database.sql(change)
    assert store.events() == before
