"""What a flood leaves behind does not slow its claims, nor does going on hide a job."""

from __future__ import annotations

import math
from typing import Any

import psycopg
import pytest

from tests.scenarios.facts import eventually
from tests.services.postgres import Database
from tests.store.hands import OK, Worker, put, put_many, settled
from workhorse.domain.outcome import Released
from workhorse.store.postgres import PostgresStore, position
from workhorse.store.protocol import TURN_BYTES
from workhorse.store.statements import statements

CLAIM = statements("postgres")["claim.claim"]
LEFT_BEHIND = 20_000


@pytest.fixture
def long_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look at everything counts as a long one."""
    monkeypatch.setattr(position, "LONG", -1.0)
    monkeypatch.setattr(position, "LONG_EACH", 0.0)
    monkeypatch.setattr(position, "LOOK_AGAIN", 10**9)


def pages(connection: psycopg.Connection[Any], worker: int, after: str) -> int:
    """Return how many pages a claim of ten jobs reads that starts after this id."""
    explain = f"explain (analyze, buffers, format json) {CLAIM}"
    given = {
        "worker": worker, "child": 1, "queues": ["default"], "kinds": ["work"], "solo": False,
        "limit": 10, "bytes": TURN_BYTES, "ranks": "{0}", "after": after,
    }  # fmt: skip
    found = connection.execute(explain.encode(), given).fetchone()
    connection.rollback()
    assert found is not None
    plan = found[0][0]["Plan"]
    read: int = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    return read


def claims_before(worker: Worker, job: int) -> int:
    """Return how many claims of a flood do not give the job, before one does."""
    claims = 0
    while job not in (got := [claimed.id for claimed in worker.claim(position.MANY)]):
        assert got, "it is never claimed"
        claims += 1
    return claims


def test_a_claim_passes_nothing_that_was_left_behind(
    store: PostgresStore, database: Database
) -> None:
    """From where the last one ended, what an open transaction keeps of the past is not read."""
    worker = Worker(store)
    with psycopg.connect(database.url) as reader, psycopg.connect(database.url) as connection:
        reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        reader.execute("select count(*) from workhorse.jobs")
        ids = put_many(store, LEFT_BEHIND)
        while claimed := worker.claim(1000):
            worker.turn([settled(job, OK) for job in claimed])
        put_many(store, 100)
        assert pages(connection, worker.id, "{0}") > LEFT_BEHIND / 50
        assert pages(connection, worker.id, f"{{{ids[-1]}}}") < 500


@pytest.mark.usefixtures("long_way")
def test_every_job_is_claimed_once_and_in_order(store: PostgresStore) -> None:
    """Going on gives what looking at everything would: by urgency, then by age."""
    low, high = put_many(store, 40), put_many(store, 40, priority=5)
    worker = Worker(store)
    claimed = [job.id for _ in range(8) for job in worker.claim(10)]
    assert claimed == high + low
    assert worker.claim(10) == []


@pytest.mark.usefixtures("long_way")
def test_what_is_behind_is_found_as_soon_as_nothing_is_ahead(store: PostgresStore) -> None:
    """A claim that finds less than it may looks at everything at once."""
    ids = put_many(store, 30)
    worker = Worker(store)
    (first, *_), *_ = [worker.claim(5) for _ in range(4)]
    worker.turn([settled(first, Released("drained"))])
    assert [job.id for job in worker.claim(20)] == [*ids[20:], ids[0]]


@pytest.mark.usefixtures("long_way")
def test_what_is_more_urgent_waits_a_bounded_time(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the queue, everything is looked at now and then."""
    monkeypatch.setattr(position, "LATEST", 0.3)
    put_many(store, 5000)
    worker = Worker(store)
    for _ in range(4):
        worker.claim(1)
    urgent = put(store, priority=10)
    eventually(lambda: urgent in [job.id for job in worker.claim(1)], what="the urgent one's turn")


def test_a_flood_goes_on(store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a claim of many, the next looks at nothing behind it."""
    monkeypatch.setattr(position, "OFTEN", 10**9)
    worker = Worker(store)
    ids = put_many(store, 3 * position.MANY)
    first, *_ = worker.claim(position.MANY)
    worker.turn([settled(first, Released("drained"))])
    second = worker.claim(position.MANY)
    assert [job.id for job in second] == ids[position.MANY : 2 * position.MANY]


def test_in_a_flood_what_is_more_urgent_waits_a_moment(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything is looked at often enough: it comes before most of the others have."""
    monkeypatch.setattr(position, "LONG", math.inf)  # no look is, however slow the machine
    worker = Worker(store)
    put_many(store, 200 * position.MANY)
    worker.claim(position.MANY)
    urgent = put(store, priority=10)
    assert claims_before(worker, urgent) < 150


@pytest.mark.usefixtures("long_way")
def test_one_long_look_is_neither_repeated_at_once_nor_believed_for_long(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have been held up by something else than the way."""
    monkeypatch.setattr(position, "LATEST", 10**9)
    monkeypatch.setattr(position, "DOUBTFUL", 0.2)
    worker = Worker(store)
    put_many(store, 200 * position.MANY)
    worker.claim(position.MANY)
    urgent = put(store, priority=10)
    assert 0 < claims_before(worker, urgent) < 190


def test_a_few_are_always_the_most_urgent(store: PostgresStore) -> None:
    """Outside a flood each claim looks at everything."""
    worker = Worker(store)
    put_many(store, 300)
    worker.claim(position.MANY - 1)
    urgent = put(store, priority=10)
    assert urgent in [job.id for job in worker.claim(10)]
