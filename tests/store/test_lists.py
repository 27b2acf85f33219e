"""Looking at jobs, one or many, unfinished and finished alike; and deleting a finished one."""

from __future__ import annotations

from typing import Any

import pytest

from tests.store.hands import (
    ALL,
    ERROR,
    NOBODY,
    OK,
    SettableClock,
    Worker,
    a_job_in,
    nothing_changed,
    put,
    put_many,
    story,
    the,
)
from workhorse.domain.errors import Conflict, InvalidJob, NotFound
from workhorse.domain.job import FINAL, UNFINISHED, Outcome, State
from workhorse.domain.outcome import AttemptOutcome, Released, TimedOut
from workhorse.store.protocol import JobFilter, Store

NOWHERE = (NOBODY, 0, -1, 10**30, -(10**30))


@pytest.mark.parametrize("state", State)
def test_a_job_is_found_in_every_state(store: Store, state: State) -> None:
    """Alone and in a list it is the same job."""
    job_id = a_job_in(state, store)
    job = the(store, job_id)
    assert job.state is state
    assert store.list_jobs(JobFilter(ids=[job_id])) == [job]
    assert job in store.list_jobs(JobFilter(states=[state]))
    assert job.is_finished == (state in FINAL)


@pytest.mark.parametrize("nowhere", NOWHERE)
def test_a_job_that_is_not_there(store: Store, nowhere: int) -> None:
    """No number at all is an error: there is no such job, and nothing of it."""
    put(store)
    assert store.get(nowhere) is None
    assert store.attempts(nowhere) == []
    assert store.events(job_id=nowhere) == []
    assert store.list_jobs(JobFilter(ids=[nowhere])) == []


def test_a_list_is_newest_first(store: Store) -> None:
    """By id, whatever has become of each, finished and unfinished in one order."""
    ids = [a_job_in(state, store) for state in (*State, *State)]
    listed = [job.id for job in store.list_jobs(JobFilter(), limit=ALL)]
    assert listed == sorted(listed, reverse=True)
    assert set(ids) <= set(listed)


def test_a_list_comes_in_pages(store: Store) -> None:
    """Page after page, everything comes once, also while jobs come and go."""
    ids = put_many(store, 25)
    for job in Worker(store).claim(10):
        store.cancel(job.id)
    pages: list[list[int]] = []
    before = None
    while page := store.list_jobs(JobFilter(), limit=10, before=before):
        pages.append([job.id for job in page])
        before = pages[-1][-1]
        put(store)
    assert [len(page) for page in pages] == [10, 10, 5]
    assert [job_id for page in pages for job_id in page] == ids[::-1]
    assert len(store.list_jobs(JobFilter(), limit=0)) == 0
    assert store.list_jobs(JobFilter(), before=10**30)[0].id > ids[-1]


def test_a_list_can_be_narrowed(store: Store) -> None:
    """By state, queue, kind, id and worker: a job must match each that is given, by any value."""
    a, b = put(store, queue="a", kind="x"), put(store, queue="b", kind="y")
    c = put(store, queue="a", kind="y", delay=5)
    worker = Worker(store, queues=["b"], kinds=["y"])
    worker.run(OK)
    d = put(store, queue="b", kind="y")
    worker.take()

    def found(where: JobFilter) -> set[int]:
        return {job.id for job in store.list_jobs(where)}

    assert found(JobFilter()) == {a, b, c, d}
    assert found(JobFilter(queues=["a"])) == {a, c}
    assert found(JobFilter(queues=["a", "b"], kinds=["y"])) == {b, c, d}
    assert found(JobFilter(states=[State.SCHEDULED, State.SUCCEEDED])) == {b, c}
    assert found(JobFilter(states=UNFINISHED, queues=["b"])) == {d}
    assert found(JobFilter(ids=[a, b, NOBODY])) == {a, b}
    assert found(JobFilter(ids=[a, b], kinds=["x"])) == {a}
    assert found(JobFilter(worker=worker.id)) == {b, d}
    assert found(JobFilter(worker=worker.id, states=[State.RUNNING])) == {d}
    assert found(JobFilter(queues=["'; drop table jobs; --"])) == set()


def test_a_list_can_be_narrowed_by_outcome(store: Store) -> None:
    """How the last attempt that has ended did, wherever the job stands now."""
    worker = Worker(store)
    outcomes: list[AttemptOutcome] = [OK, ERROR, TimedOut(1), Released("drained")]
    ids = put_many(store, 4, max_attempts=2)
    for outcome in outcomes:
        worker.run(outcome)
    failed = put(store, max_attempts=1, priority=9)
    worker.run(ERROR)

    def found(*outcomes: Outcome, **more: Any) -> list[int]:
        return [job.id for job in store.list_jobs(JobFilter(outcomes=outcomes, **more))]

    assert found(Outcome.OK) == [ids[0]]
    assert found(Outcome.ERROR) == [failed, ids[1]]
    assert found(Outcome.ERROR, states=[State.FAILED]) == [failed]
    assert found(Outcome.TIMED_OUT, Outcome.RELEASED) == [ids[3], ids[2]]
    assert found(Outcome.LOST) == []
    assert store.requeue_many(JobFilter(outcomes=[Outcome.TIMED_OUT])) == []
    assert store.requeue_many(JobFilter(outcomes=[Outcome.ERROR])) == [failed]


def test_a_list_can_be_narrowed_by_time(store: Store, clock: SettableClock) -> None:
    """From an instant on, up to another: when the jobs were enqueued, ended or not."""
    ids: list[int] = []
    instants: list[int] = []
    worker = Worker(store)
    for outcome in (None, OK, ERROR):
        ids.append(put(store, max_attempts=1, priority=len(ids)))
        instants.append(the(store, ids[-1]).enqueued_at)
        if outcome is not None:
            worker.run(outcome)
        clock.advance(10)

    def found(since: int | None, until: int | None, **more: Any) -> list[int]:
        where = JobFilter(since=since, until=until, **more)
        return [job.id for job in reversed(store.list_jobs(where))]

    assert found(instants[0], None) == ids
    assert found(instants[1], None) == ids[1:]
    assert found(None, instants[1]) == ids[:1]
    assert found(instants[1], instants[2]) == ids[1:2]
    assert found(instants[0] + 1, None, states=[State.FAILED]) == ids[2:]
    assert found(-(10**30), 10**30) == ids
    assert found(10**30, None) == []
    assert store.requeue_many(JobFilter(until=instants[2])) == []
    assert store.requeue_many(JobFilter(since=instants[2])) == ids[2:]


def test_attempts_of_a_job_that_runs_for_the_first_time(store: Store) -> None:
    """An attempt is listed once it has ended; none has yet."""
    job_id = put(store)
    assert store.attempts(job_id) == []
    Worker(store).take()
    assert store.attempts(job_id) == []


@pytest.mark.parametrize("ended", FINAL)
def test_a_finished_job_can_be_deleted(store: Store, ended: State) -> None:
    """It is gone with its attempts and its record, and leaves others alone."""
    job_id = a_job_in(ended, store)
    other = a_job_in(ended, store)
    before = the(store, other), story(store, other)
    store.delete(job_id)
    assert (store.get(job_id), store.attempts(job_id), store.events(job_id=job_id)) == (
        None,
        [],
        [],
    )
    assert (the(store, other), story(store, other)) == before
    with pytest.raises(NotFound):
        store.delete(job_id)


@pytest.mark.parametrize("unfinished", UNFINISHED)
def test_an_unfinished_job_cannot_be_deleted(store: Store, unfinished: State) -> None:
    """`Conflict`, naming the state; nothing is changed."""
    job_id = a_job_in(unfinished, store)
    with nothing_changed(store), pytest.raises(Conflict, match=unfinished):
        store.delete(job_id)


@pytest.mark.parametrize("nowhere", NOWHERE)
def test_nothing_is_deleted_where_nothing_is(store: Store, nowhere: int) -> None:
    """`NotFound`; nothing is changed."""
    with nothing_changed(store), pytest.raises(NotFound):
        store.delete(nowhere)


def test_how_many_at_most(store: Store, clock: SettableClock) -> None:
    """None is none, more than there could be is all; less than none is refused."""
    ids = put_many(store, 3)
    for job_id in ids:
        store.cancel(job_id)
    late = put(store, delay=1)
    clock.advance(1)
    assert (store.list_jobs(JobFilter(), limit=0), store.events(limit=0)) == ([], [])
    assert store.requeue_many(JobFilter(), limit=0) == []
    assert store.promote(limit=0).jobs == 0
    assert store.waiting(oldest=0) == {}
    with nothing_changed(store):
        for ask in (
            lambda: store.list_jobs(JobFilter(), limit=-1),
            lambda: store.events(limit=-1),
            lambda: store.requeue_many(JobFilter(), limit=-1),
            lambda: store.promote(limit=-1),
            lambda: store.waiting(oldest=-1),
        ):
            with pytest.raises(InvalidJob, match="limit=-1"):
                ask()
    assert len(store.list_jobs(JobFilter(), limit=10**30)) == 4
    assert len(store.events(limit=10**30)) == 7
    assert store.requeue_many(JobFilter(), limit=10**30) == ids
    assert store.promote(limit=10**30).jobs == 1
    assert store.waiting(oldest=10**30) == {("default", "work"): 4}
    assert the(store, late).state is State.AVAILABLE
