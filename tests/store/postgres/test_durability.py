"""What a caller was told is on the server's disk; a bare claim alone may get there later."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.services.postgres import Database
from tests.store.hands import ERROR, OK, Worker, put, put_many, settled
from workhorse.domain.events import Output, OutputLine
from workhorse.store.postgres import PostgresStore

Waited = Callable[[], list[str]]


@pytest.fixture
def waited(database: Database) -> Waited:
    """Whether each commit since the last look, as the server saw it, waited for the disk."""
    database.sql("create table commits (number int generated always as identity, waited text)")
    database.sql(
        "create function note() returns trigger language plpgsql as $$ begin"
        " insert into commits (waited) values (current_setting('synchronous_commit'));"
        " return null; end $$"
    )
    database.sql(
        "create constraint trigger note after insert on workhorse.events"
        " deferrable initially deferred for each row execute function note()"
    )

    def look() -> list[str]:
        noted = database.sql("delete from commits returning waited")
        return sorted({waited for (waited,) in noted})

    return look


def test_a_bare_claim_is_flushed_later(store: PostgresStore, waited: Waited) -> None:
    """A claim is a lease that may be lost: its handler does not wait for the disk."""
    put(store)
    worker = Worker(store)
    assert waited() == ["on"]
    assert len(worker.claim()) == 1
    assert waited() == ["off"]


def test_whatever_else_is_written_is_flushed(store: PostgresStore, waited: Waited) -> None:
    """An end or a line is on the disk when it is acknowledged, the claim beside it too."""
    put_many(store, 6)
    worker = Worker(store)
    first, second, third, _, _ = worker.claim(5)
    waited()
    worker.turn([settled(first, OK)])
    assert waited() == ["on"]
    worker.turn([settled(second, OK)], claim=worker.request(1))
    assert waited() == ["on"]
    line = OutputLine(third.id, third.attempt, Output.LOG, '{"message":"m","stream":"log"}')
    put(store)
    waited()
    worker.turn(output=[line], claim=worker.request(1))
    assert waited() == ["on"]
    put(store)
    waited()
    worker.turn([settled(third, ERROR)], claim=worker.request(1))
    assert waited() == ["on"]
