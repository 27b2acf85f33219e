"""What a caller's open transaction holds up: the end of a job that is waited for, and no more."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from time import monotonic

import psycopg
import pytest

from tests.services.postgres import Database
from tests.store.hands import ERROR, Worker, a_job, put, put_many, settled, state, the
from workhorse.domain.job import State
from workhorse.domain.outcome import AttemptOutcome, Cancelled, Snoozed
from workhorse.store.opening import open_store
from workhorse.store.postgres import PostgresStore
from workhorse.store.postgres.connection import PATIENCE
from workhorse.store.protocol import Store
from workhorse.store.verbs.copying import copy

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
    assert [one.id for one in store.cancel_requests(worker.id)] == [first]
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


def cancelled_after(
    mine: psycopg.Connection, store: Store, job_id: int, database: Database
) -> State:
    """Cancel a job, and commit this transaction once the cancel waits for it; return its answer."""
    with ThreadPoolExecutor(1) as pool:
        cancel = pool.submit(store.cancel, job_id)
        while not database.waits_for_a_lock():
            assert not cancel.done()
        mine.commit()
        return cancel.result()


def test_a_job_that_waits_to_run_is_cancelled(
    store: Store, mine: psycopg.Connection, database: Database
) -> None:
    """That is its end: it waits for the transaction, then sees what came to wait for the job."""
    first = put(store)
    (second,) = store.enqueue_with(mine, [a_job(after=[first])])
    assert cancelled_after(mine, store, first, database) is State.CANCELLED
    assert state(store, second.id) is State.CANCELLED
    error = the(store, second.id).error
    assert error is not None
    assert error["message"] == f"job {first} cancelled"


def test_a_job_that_is_claimed_as_it_is_cancelled(
    store: Store, mine: psycopg.Connection, database: Database
) -> None:
    """The cancel waits for the claim, and then tells the job to end: it is not said to be over."""
    job_id = put(store)
    worker = Worker(store)
    mine.execute(
        "update workhorse.jobs set state = 'running', attempt = 1, worker = %s, started_at = 1"
        " where id = %s",
        (worker.id, job_id),
    )
    assert cancelled_after(mine, store, job_id, database) is State.RUNNING
    assert [one.id for one in store.cancel_requests(worker.id)] == [job_id]


def test_a_worker_that_is_given_up_as_it_claims(
    store: Store, mine: psycopg.Connection, database: Database
) -> None:
    """A rescue waits for the claim, and sees it: no job is left with a worker that is lost."""
    job_id = put(store)
    worker = Worker(store)
    mine.execute("select 1 from workhorse.jobs where id = %s for update", [job_id])
    with ThreadPoolExecutor(2) as pool:
        claim = pool.submit(store.claim_job, worker.id, job_id)
        while not database.waits_for_a_lock():
            assert not claim.done()
        rescue = pool.submit(store.rescue, worker.id, reason="gone", expired_only=False)
        while not (rescue.done() or database.waits_for_a_lock() > 1):
            pass
        mine.rollback()
        assert claim.result() is not None
        assert rescue.result() is not None
    assert state(store, job_id) is not State.RUNNING


def test_who_stops_in_the_middle_keeps_nobody_for_long(store: PostgresStore) -> None:
    """The server itself gives up a statement before its client does, and a silent client soon."""
    with store._db.connection() as connection:
        limits = connection.execute(
            "select name, setting::integer from pg_settings where name = any (%s)",
            [["lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"]],
        )
        given_up = {name: limit / 1000 for name, limit in limits}
    assert 0 < given_up["lock_timeout"] < given_up["statement_timeout"] < PATIENCE
    assert PATIENCE < given_up["idle_in_transaction_session_timeout"] < 2 * PATIENCE


def test_keys_are_taken_in_one_order(
    store: Store, mine: psycopg.Connection, database: Database
) -> None:
    """Whatever order a call has them in: who waits for one holds none that comes after it."""
    mine.execute("set lock_timeout = '100ms'")  # before the server would give one of them up
    store.enqueue_with(mine, [a_job(idempotency_key="a")])
    with ThreadPoolExecutor(1) as pool:
        waits = pool.submit(store.enqueue, [a_job(idempotency_key=key) for key in "ba"])
        while not database.waits_for_a_lock():
            assert not waits.done()
        (second,) = store.enqueue_with(mine, [a_job(idempotency_key="b")])
        mine.commit()
        assert [second.existing, *(one.existing for one in waits.result())] == [False, True, True]


def test_who_waits_is_kept_when_what_it_waits_for_fails(
    store: Store, mine: psycopg.Connection
) -> None:
    """The turn goes on, nothing that it claimed is lost; the kept one is cancelled by a sweep."""
    first = put(store, max_attempts=1)
    kept = put(store, after=[first])
    free = put(store, after=[first])
    worker = Worker(store)
    job = worker.take()
    after = put(store)
    (last,) = store.enqueue_with(mine, [a_job(after=[kept])])
    turn = worker.turn([settled(job, ERROR)], claim=worker.request())
    assert [job.id for job in turn.claimed] == [after]
    assert [state(store, id) for id in (first, kept, free)] == [
        State.FAILED, State.BLOCKED, State.CANCELLED,
    ]  # fmt: skip
    mine.commit()
    assert store.sweep() == 2
    assert [state(store, id) for id in (kept, last.id)] == [State.CANCELLED] * 2


def test_who_waits_is_kept_for_a_moment(
    store: Store, mine: psycopg.Connection, database: Database
) -> None:
    """That is waited for: no sweep is needed, not even for what came to wait meanwhile."""
    database.sql("alter function workhorse.lock_waiting set lock_timeout = '10s'")
    first = put(store, max_attempts=1)
    kept = put(store, after=[first])
    worker = Worker(store)
    job = worker.take()
    (last,) = store.enqueue_with(mine, [a_job(after=[kept])])
    with ThreadPoolExecutor(1) as pool:
        settling = pool.submit(worker.settle, job, ERROR)
        while not database.waits_for_a_lock():
            assert not settling.done()
        mine.commit()
        assert settling.result() == []
    assert [state(store, id) for id in (kept, last.id)] == [State.CANCELLED] * 2


def test_a_sweep_passes_over_what_is_kept(
    store: Store, mine: psycopg.Connection, database: Database
) -> None:
    """One that another's transaction keeps holds nobody else up."""
    bad = put(store, max_attempts=1)
    kept, ready = put(store, after=[bad]), put(store, after=[bad])
    worker = Worker(store)
    job = worker.take()
    store.enqueue_with(mine, [a_job(after=[kept])])
    # As it is left by one that was killed between the end of a job and what follows from it.
    database.sql("delete from workhorse.dependencies where job_id = %s", ready)
    worker.settle(job, ERROR)
    assert store.sweep() == 1
    assert [state(store, id) for id in (kept, ready)] == [State.BLOCKED, State.AVAILABLE]


@pytest.mark.parametrize("cut_off", [True, False], ids=["lost", "stopped"])
def test_a_worker_that_is_no_more(store: Store, mine: psycopg.Connection, *, cut_off: bool) -> None:
    """Its jobs are given back but for one whose end is kept: that one goes later."""
    kept, other = put_many(store, 2)
    worker = Worker(store)
    worker.claim()
    store.cancel(kept)  # so that it cannot be given back: it ends
    store.enqueue_with(mine, [a_job(after=[kept])])
    if cut_off:
        assert store.rescue(worker.id, reason="gone", expired_only=False) == 1
    else:
        store.retire(worker.id)
    assert [state(store, id) for id in (kept, other)] == [State.RUNNING, State.AVAILABLE]
    assert store.look().expired == [worker.id]
    mine.commit()
    assert store.rescue(worker.id, reason="gone") == 1
    assert state(store, kept) is State.CANCELLED
    assert [the(store, id).lost for id in (kept, other)] == [int(cut_off)] * 2
    assert store.look().expired == []


def test_what_is_left_so_is_rescued_in_a_copy(
    store: Store, mine: psycopg.Connection, tmp_path: Path
) -> None:
    """A job that a lost worker still holds is given back where it was copied to."""
    kept = put(store)
    worker = Worker(store)
    worker.claim()
    store.cancel(kept)
    store.enqueue_with(mine, [a_job(after=[kept])])
    assert store.rescue(worker.id, reason="gone", expired_only=False) == 0
    mine.rollback()
    with closing(open_store(f"sqlite:///{tmp_path}/copy.db")) as target:
        copy(store, target)
        assert target.look().expired == target.expired_workers() == [worker.id]
        assert target.rescue(worker.id, reason="gone") == 1
        assert state(target, kept) is State.CANCELLED
