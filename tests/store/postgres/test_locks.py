"""What a caller's open transaction holds up: the end of a job that is waited for, and no more."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from time import monotonic

import psycopg
import pytest

from tests.services.postgres import Database
from tests.store.hands import ERROR, Worker, a_job, put, settled, state, the
from workhorse.domain.job import State
from workhorse.domain.outcome import AttemptOutcome, Cancelled, Snoozed
from workhorse.store.protocol import Store

PROMPT = 1.0
"""Seconds within which something is done that waits for nobody's lock."""


@pytest.fixture
def mine(database: Database) -> Iterator[psycopg.Connection]:
    """The caller's connection."""
    with closing(psycopg.connect(database.url)) as connection:
        yield connection


def test_a_running_job_is_told_to_end(store: Store, mine: psycopg.Connection) -> None:
    """Its cancel waits for nobody; what comes to wait for it meanwhile is cancelled with it."""
    first = put(store)
    worker = Worker(store)
    job = worker.take()
    (second,) = store.enqueue_with(mine, [a_job(after=[first])])
    before = monotonic()
    assert store.cancel(first) is State.RUNNING
    assert monotonic() - before < PROMPT
    assert [id for id, _, _ in store.cancel_requests(worker.id)] == [first]
    mine.commit()
    assert worker.settle(job, Cancelled()) == []
    assert [state(store, id) for id in (first, second.id)] == [State.CANCELLED] * 2


@pytest.mark.parametrize("outcome", [ERROR, Snoozed(60)])
def test_an_attempt_that_does_not_end_its_job(
    store: Store, mine: psycopg.Connection, outcome: AttemptOutcome
) -> None:
    """It is written down while others come to wait for the job."""
    first = put(store)
    worker = Worker(store)
    job = worker.take()
    store.enqueue_with(mine, [a_job(after=[first])])
    turn = store.turn(worker.id, [settled(job, outcome)], [], None)
    assert list(turn.held_up) == []
    assert state(store, first) is State.SCHEDULED


def test_a_job_that_waits_to_run_is_cancelled(
    store: Store, mine: psycopg.Connection, database: Database
) -> None:
    """That is its end: it waits for the transaction, then sees what came to wait for the job."""
    first = put(store)
    (second,) = store.enqueue_with(mine, [a_job(after=[first])])
    with ThreadPoolExecutor(1) as pool:
        cancel = pool.submit(store.cancel, first)
        while not database.waits_for_a_lock():
            assert not cancel.done()
        mine.commit()
        assert cancel.result() is State.CANCELLED
    assert state(store, second.id) is State.CANCELLED
    error = the(store, second.id).error
    assert error is not None
    assert error["message"] == f"job {first} cancelled"
