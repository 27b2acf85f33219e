"""The database itself refuses what may not be: asked by raw SQL, behind the store's back."""

from __future__ import annotations

import sqlite3

import pytest

from tests.store.hands import ERROR, OK, SettableClock, Worker, a_job_in, put
from workhorse.domain.events import EVENT_NAMES
from workhorse.domain.job import UNFINISHED, Outcome, State
from workhorse.store.protocol import Retention, Store

INSERT_JOB = """
    insert into jobs (kind, queue, state, priority, args, max_attempts, enqueued_at, run_at, worker)
    values (:kind, :queue, :state, :priority, '{}', :max_attempts, 1, 1, :worker)
"""
A_JOB = {
    "kind": "work",
    "queue": "default",
    "state": "available",
    "priority": 0,
    "max_attempts": 1,
    "worker": None,
}


@pytest.mark.parametrize(
    "wrong",
    [
        {"state": "succeeded"},
        {"state": "failed"},
        {"state": "pending"},
        {"state": None},
        {"state": "running"},
        {"worker": 1},
        {"max_attempts": 0},
        {"max_attempts": "many"},
        {"priority": "high"},
        {"priority": 1.5},
        {"kind": None},
        {"queue": None},
    ],
    ids=str,
)
def test_a_row_that_may_not_be(raw: sqlite3.Connection, wrong: dict[str, object]) -> None:
    """A state, a number or a pair that makes no sense does not get into the table."""
    raw.execute(INSERT_JOB, A_JOB)
    with pytest.raises(sqlite3.IntegrityError):
        raw.execute(INSERT_JOB, A_JOB | wrong)


@pytest.mark.parametrize("state", State)
def test_each_table_has_its_own_states(raw: sqlite3.Connection, store: Store, state: State) -> None:
    """Unfinished jobs are in one table, finished ones in the other, and cannot be moved by name."""
    job_id = a_job_in(state, store)
    table = "jobs" if state in UNFINISHED else "history"
    assert raw.execute(f"select state from {table} where id = ?", [job_id]).fetchone() == (state,)
    for wrong in (
        set(State)
        - {State.RUNNING}
        - (set(UNFINISHED) if table == "jobs" else set(State) - set(UNFINISHED))
    ):
        with pytest.raises(sqlite3.IntegrityError):
            raw.execute(f"update {table} set state = ? where id = ?", [wrong, job_id])


def test_a_unique_key_is_unique(raw: sqlite3.Connection, store: Store) -> None:
    """One unfinished job has it, whoever writes."""
    put(store, unique="k")
    raw.execute(INSERT_JOB, A_JOB)
    with pytest.raises(sqlite3.IntegrityError, match="unique_key"):
        raw.execute("update jobs set unique_key = 'k'")


def test_outcomes_are_those_of_the_domain(raw: sqlite3.Connection) -> None:
    """Each outcome there is can be kept with an attempt, and no other."""
    insert = "insert into attempts values (?, 1, 1, 1, 1, ?, null)"
    for number, outcome in enumerate(Outcome):
        raw.execute(insert, [number, outcome])
    with pytest.raises(sqlite3.IntegrityError):
        raw.execute(insert, [99, "exploded"])


def test_event_names_are_those_of_the_domain(raw: sqlite3.Connection) -> None:
    """Each name there is can be written, and no other."""
    insert = "insert into events (at, name) values (1, ?)"
    for name in EVENT_NAMES:
        raw.execute(insert, [name])
    with pytest.raises(sqlite3.IntegrityError):
        raw.execute(insert, ["exploded"])


@pytest.mark.parametrize(
    "change",
    [
        "update events set name = 'fail'",
        "update events set at = at + 1 where name = 'claim'",
        "update events set job_id = null, data = null",
        "update or replace events set seq = seq + 1000",
        "delete from events",
        "delete from events where name = 'claim'",
        "delete from events where job_id is null",
    ],
)
def test_the_record_is_append_only(raw: sqlite3.Connection, store: Store, change: str) -> None:
    """No event is ever changed, and none is removed while its job is there."""
    put(store)
    Worker(store).run(OK)
    before = store.events()
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        raw.execute(change)
    assert store.events() == before


def test_an_event_of_no_job_goes_by_retention_alone(
    raw: sqlite3.Connection, store: Store, clock: SettableClock
) -> None:
    """Behind the horizon that retention has moved, and not before."""
    store.pause("q")
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        raw.execute("delete from events")
    clock.advance(100 * 86_400)
    store.resume("q")
    store.prune(Retention())
    assert [event.name for event in store.events()] == ["queue_resumed"]
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        raw.execute("delete from events")


def test_a_job_is_in_one_table(raw: sqlite3.Connection, store: Store) -> None:
    """Unfinished or in the history: never both, over a whole life with a requeue in it."""
    both = "select count(*) from jobs join history using (id)"
    job_id = a_job_in(State.FAILED, store)
    assert raw.execute(both).fetchone() == (0,)
    store.requeue(job_id)
    assert raw.execute(both).fetchone() == (0,)
    Worker(store, queues=["to-failed"]).run(OK)
    assert raw.execute(both).fetchone() == (0,)


@pytest.mark.parametrize(
    ("ended", "expected"),
    [("succeeded", State.AVAILABLE), ("failed", State.CANCELLED), ("gone", State.CANCELLED)],
)
def test_a_sweep_repairs(
    raw: sqlite3.Connection, store: Store, ended: str, expected: State
) -> None:
    """A blocked job whose dependency ended unseen is let go, or cancelled, by the next sweep."""
    first = put(store, queue="first", max_attempts=1)
    job_id = put(store, after=[put(store, queue="other")])
    far = put(store, after=[job_id])
    worker = Worker(store, queues=["first"])
    job = worker.take()
    raw.execute("update dependencies set waits_for = ? where job_id = ?", [10**6, job_id])
    end_unseen(ended, store, worker, job.id)
    raw.execute("update dependencies set waits_for = ? where job_id = ?", [first, job_id])
    assert store.sweep() == (1 if expected is State.AVAILABLE else 2)
    job_after, far_after = store.get(job_id), store.get(far)
    assert job_after is not None
    assert far_after is not None
    assert job_after.state is expected
    assert far_after.state is (State.BLOCKED if expected is State.AVAILABLE else expected)
    assert store.sweep() == 0


def end_unseen(ended: str, store: Store, worker: Worker, job_id: int) -> None:
    """End a running job while nobody seems to wait for it."""
    (job,) = store.held(worker.id)
    worker.settle(job, ERROR if ended == "failed" else OK)
    if ended == "gone":
        store.delete(job_id)
