"""requeue: failed, cancelled → available, with a fresh budget and the same id."""

from __future__ import annotations

import pytest

from tests.store.hands import (
    ERROR,
    FATAL,
    NOBODY,
    OK,
    SettableClock,
    Worker,
    a_job,
    a_job_in,
    nothing_changed,
    put,
    put_many,
    state,
    story,
    the,
)
from workhorse.domain.errors import Conflict, NotFound
from workhorse.domain.job import State
from workhorse.domain.outcome import Crashed, Released
from workhorse.store.protocol import JobFilter, Store

SOURCES = (State.FAILED, State.CANCELLED)


@pytest.mark.parametrize("ended", SOURCES)
def test_a_dead_letter_is_made_available_again(
    store: Store, clock: SettableClock, ended: State
) -> None:
    """It is the same job, available now, listed once, and runs to its end."""
    job_id = a_job_in(ended, store, queue="here", args='{"a":1}', priority=7, timeout=3.0)
    before = the(store, job_id)
    clock.advance(5)
    store.requeue(job_id)
    job = the(store, job_id)
    assert (job.state, job.run_at, job.finished_at) == (State.AVAILABLE, clock.now, None)
    for fact in ("kind", "args", "queue", "priority", "timeout", "backoff", "enqueued_at"):
        assert getattr(job, fact) == getattr(before, fact)
    assert [found.id for found in store.list_jobs(JobFilter(queues=["here"]))] == [job_id]
    assert story(store, job_id)[-1] == "requeue"
    assert Worker(store, queues=["here"]).run(OK).attempt == before.attempt + 1
    assert state(store, job_id) is State.SUCCEEDED


def test_the_budget_is_fresh_and_the_number_goes_on(store: Store) -> None:
    """Failures and crashes begin at none again; attempts, and their record, go on growing."""
    job_id = put(store, max_attempts=2)
    worker = Worker(store)
    worker.run(Released("drained"))
    worker.run(FATAL)
    store.requeue(job_id)
    job = the(store, job_id)
    assert (job.failures, job.crashes, job.lost, job.solo) == (0, 0, 0, False)
    assert (job.attempt, job.max_attempts) == (2, 2)
    assert [attempt.outcome for attempt in store.attempts(job_id)] == ["released", "error"]
    again = worker.run(ERROR)
    assert (again.attempt, again.failures) == (3, 0)
    assert state(store, job_id) is State.SCHEDULED
    assert [attempt.attempt for attempt in store.attempts(job_id)] == [1, 2, 3]


def test_a_poisonous_job_may_be_tried_again(store: Store) -> None:
    """After a requeue it is no suspect any more, and runs among others."""
    job_id = put(store, max_attempts=1)
    worker = Worker(store)
    worker.run(Crashed(1))
    store.requeue(job_id)
    assert (worker.take().id, store.look(worker.id).solo) == (job_id, 0)


def test_twice_over(store: Store) -> None:
    """A job may be requeued as often as it fails; every attempt stays on record."""
    job_id = put(store, max_attempts=1)
    worker = Worker(store)
    for _ in range(4):
        worker.run(ERROR)
        store.requeue(job_id)
    worker.run(OK)
    assert [a.outcome for a in store.attempts(job_id)] == ["error"] * 4 + ["ok"]
    assert [a.attempt for a in store.attempts(job_id)] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("wrong", [s for s in State if s not in SOURCES])
def test_no_other_state_has_this_edge(store: Store, wrong: State) -> None:
    """`Conflict`, naming the state; nothing is changed."""
    job_id = a_job_in(wrong, store)
    with nothing_changed(store), pytest.raises(Conflict, match=wrong):
        store.requeue(job_id)


@pytest.mark.parametrize("nobody", [NOBODY, 0, -1, 10**30])
def test_a_job_that_is_not_there(store: Store, nobody: int) -> None:
    """`NotFound`; nothing is changed."""
    with nothing_changed(store), pytest.raises(NotFound):
        store.requeue(nobody)


@pytest.mark.parametrize("ended", SOURCES)
def test_a_unique_key_that_was_taken_meanwhile(store: Store, ended: State) -> None:
    """`Conflict` while another unfinished job holds the key; afterwards it goes."""
    job_id = a_job_in(ended, store, unique="k", queue="here")
    holder = put(store, unique="k", queue="here")
    with nothing_changed(store), pytest.raises(Conflict, match="unique"):
        store.requeue(job_id)
    worker = Worker(store, queues=["here"])
    assert worker.run(OK).id == holder
    store.requeue(job_id)
    assert the(store, job_id).unique == "k"
    assert store.enqueue([]) == []
    assert put(store, unique="k") == job_id


def test_many_at_once(store: Store) -> None:
    """All that failed or were cancelled and match; the rest is left where it is."""
    put_many(store, 3, max_attempts=1)
    mine = put_many(store, 2, queue="mine", max_attempts=1)
    worker = Worker(store, queues=["default", "mine"])
    for _ in range(4):
        worker.run(ERROR)
    store.cancel(mine[1])
    succeeded = put(store, queue="mine")
    worker.run(OK)
    assert store.requeue_many(JobFilter(queues=["mine"])) == mine
    assert [state(store, id) for id in (*mine, succeeded)] == [
        State.AVAILABLE,
        State.AVAILABLE,
        State.SUCCEEDED,
    ]
    assert story(store, mine[0])[-1] == "requeue"
    assert len(store.requeue_many(JobFilter(), limit=2)) == 2
    assert len(store.requeue_many(JobFilter())) == 1
    assert store.requeue_many(JobFilter()) == []


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (JobFilter(states=[State.FAILED]), {"failed"}),
        (JobFilter(states=[State.CANCELLED]), {"cancelled"}),
        (JobFilter(states=[State.SUCCEEDED, State.AVAILABLE]), set()),
        (JobFilter(kinds=["work"]), {"failed", "cancelled"}),
        (JobFilter(kinds=["other"]), set()),
        (JobFilter(ids=[NOBODY, 10**30]), set()),
    ],
)
def test_many_by_what_they_are(store: Store, where: JobFilter, expected: set[str]) -> None:
    """A filter chooses by state, kind, queue or id; other states have no such edge anyway."""
    jobs = {str(s): a_job_in(s, store) for s in State}
    assert store.requeue_many(where) == sorted(jobs[name] for name in expected)


def test_many_with_one_key(store: Store) -> None:
    """Of several dead letters with one unique key one comes back; a held key stays held."""
    dead = [a_job_in(State.CANCELLED, store, unique="k") for _ in range(3)]
    held = a_job_in(State.CANCELLED, store, unique="held")
    put(store, unique="held")
    assert store.requeue_many(JobFilter()) == dead[:1]
    assert [state(store, id) for id in (*dead[1:], held)] == [State.CANCELLED] * 3


def test_what_cannot_go_does_not_count(store: Store) -> None:
    """A limit is for those that come back: dead letters whose key is held take none of it."""
    held = [a_job_in(State.CANCELLED, store, unique=key) for key in "ab"]
    store.enqueue([a_job(unique=key) for key in "ab"])
    free = a_job_in(State.CANCELLED, store)
    assert store.requeue_many(JobFilter(), limit=1) == [free]
    assert [state(store, id) for id in held] == [State.CANCELLED] * 2
