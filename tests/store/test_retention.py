"""prune: finished jobs go by age, then by count, then by bytes, in small batches, each whole."""

from __future__ import annotations

import json
import math
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from tests.store.hands import (
    ALL,
    FATAL,
    OK,
    SettableClock,
    Worker,
    nothing_changed,
    put,
    put_many,
    settled,
)
from workhorse.domain.errors import InvalidJob, Unavailable
from workhorse.domain.events import Output, OutputLine
from workhorse.domain.job import UNFINISHED, State
from workhorse.domain.outcome import Completed, Released
from workhorse.store.protocol import JobFilter, Retention, Store
from workhorse.store.verbs import measuring, retention
from workhorse.store.verbs.measuring import MOST, Measure
from workhorse.store.verbs.retention import LEAST_MISSED, RetentionVerbs

DAY = 86_400.0
SAYING = '"' + "x" * 1900 + '"'
FOREVER = Retention(succeeded=None, cancelled=None, failed=None, max_jobs=None)


def finished(store: Store, number: int, ended: State, **facts: object) -> list[int]:
    """Bring `number` new jobs to an end."""
    ids = put_many(store, number, queue="done", **facts)
    if ended is State.CANCELLED:
        for job_id in ids:
            store.cancel(job_id)
    else:
        worker = Worker(store, queues=["done"])
        outcome = OK if ended is State.SUCCEEDED else FATAL
        worker.turn([settled(job, outcome) for job in worker.claim()])
        store.retire(worker.id)
    return ids


def left(store: Store) -> list[int]:
    return sorted(job.id for job in store.list_jobs(JobFilter(), limit=ALL))


def prune_all(store: Store, bound: Retention, batch: int = 1000) -> int:
    """Prune until nothing is left to go; return how many went."""
    total = 0
    while gone := store.prune(bound, batch=batch):
        assert gone <= batch
        total += gone
    return total


@pytest.mark.parametrize(
    ("ended", "days"), [(State.SUCCEEDED, 7), (State.CANCELLED, 30), (State.FAILED, 90)]
)
def test_a_finished_job_goes_at_its_age(
    store: Store, clock: SettableClock, ended: State, days: int
) -> None:
    """Each final state has an age of its own; a job is kept up to it, and not beyond."""
    finished(store, 2, ended)
    clock.advance(days * DAY)
    assert store.prune(Retention()) == 0
    clock.advance(0.001)
    assert store.prune(Retention()) == 2
    assert left(store) == []


def test_a_job_goes_whole(store: Store, clock: SettableClock) -> None:
    """With it go its attempts and its events; of others nothing is touched."""
    worker = Worker(store, lease=10**6)
    job_id, other = put_many(store, 2)
    for outcome in (Released("drained"), Completed("1")):
        assert worker.run(outcome).id == job_id
    clock.advance(10)
    worker.run(OK)
    others = store.events(job_id=other), store.attempts(other)
    assert store.prune(Retention(succeeded=5)) == 1
    assert (store.get(job_id), store.attempts(job_id), store.events(job_id=job_id)) == (
        None,
        [],
        [],
    )
    assert (store.events(job_id=other), store.attempts(other)) == others


def test_unfinished_jobs_are_never_pruned(store: Store, clock: SettableClock) -> None:
    """However old, and however many too many there are."""
    first = put(store)
    ids = [first, put(store, delay=DAY * 5000), put(store, after=[first]), put(store)]
    assert Worker(store).take().id == first
    assert {job.state for job in store.list_jobs(JobFilter())} == set(UNFINISHED)
    clock.advance(4000 * DAY)
    with nothing_changed(store):
        assert store.prune(FOREVER) == 0
        assert store.prune(Retention(None, None, None, max_jobs=0, max_bytes=0)) == 0
    assert left(store) == ids


def test_no_limit_means_for_ever(store: Store, clock: SettableClock) -> None:
    """Without a limit nothing goes, however old it is."""
    for ended in (State.SUCCEEDED, State.CANCELLED, State.FAILED):
        finished(store, 2, ended)
    clock.advance(100_000 * DAY)
    with nothing_changed(store):
        assert store.prune(FOREVER) == 0


def test_too_many_jobs(store: Store, clock: SettableClock) -> None:
    """The oldest go until the number is kept; the successful first, dead letters last."""
    dead = finished(store, 3, State.FAILED)
    clock.advance(1)
    cancelled = finished(store, 3, State.CANCELLED)
    clock.advance(1)
    old = finished(store, 3, State.SUCCEEDED)
    clock.advance(1)
    young = finished(store, 3, State.SUCCEEDED)
    assert store.prune(Retention(None, None, None, max_jobs=10)) == 2
    assert left(store) == sorted(dead + cancelled + old[2:] + young)
    assert store.prune(Retention(None, None, None, max_jobs=10)) == 0
    assert store.prune(Retention(None, None, None, max_jobs=4)) == 6
    assert left(store) == sorted(dead + cancelled[2:])
    assert store.prune(Retention(None, None, None, max_jobs=0)) == 4
    assert left(store) == []


def test_an_age_beyond_all_ages(store: Store, clock: SettableClock) -> None:
    """Is no limit; what is no number is refused."""
    finished(store, 2, State.SUCCEEDED)
    clock.advance(10**6)
    with nothing_changed(store):
        for age in (1e300, math.inf):
            assert store.prune(Retention(age, age, age)) == 0
        with pytest.raises(InvalidJob, match="nan is no age"):
            store.prune(Retention(succeeded=math.nan))


def test_age_and_number_together(store: Store, clock: SettableClock) -> None:
    """What is too old counts towards the number that must go."""
    finished(store, 4, State.SUCCEEDED)
    clock.advance(100)
    young = finished(store, 4, State.SUCCEEDED)
    assert store.prune(Retention(succeeded=50, max_jobs=6)) == 4
    assert left(store) == young
    assert store.prune(Retention(succeeded=50, max_jobs=3)) == 1
    assert left(store) == young[1:]


def test_too_many_bytes(store: Store) -> None:
    """While finished jobs hold more than is allowed, the oldest go, and no more than must."""
    ids = finished(store, 60, State.SUCCEEDED, args='"' + "x" * 20_000 + '"')
    bound = Retention(None, None, None, max_jobs=None, max_bytes=700_000)
    assert prune_all(store, bound, batch=10) == 26  # each has 20,002 and 500 for its rows
    assert left(store) == ids[26:]


def test_output_counts_with_its_job(store: Store) -> None:
    """What a job has said goes with it, so it is a part of what the job holds, as attempts are."""
    worker = Worker(store)
    ids = put_many(store, 10)
    for _ in ids:
        job = worker.take()
        said = [OutputLine(job.id, job.attempt, Output.LOG, SAYING)] * 10
        worker.turn([settled(job, OK)], said)
    assert prune_all(store, Retention(None, None, None, max_bytes=220_000)) == 0
    assert prune_all(store, Retention(None, None, None, max_bytes=110_000)) == 5
    assert left(store) == ids[5:]


def test_a_backlog_takes_nothing_from_what_is_kept(store: Store) -> None:
    """Unfinished jobs, and what those that run have said, do not count, however many there are."""
    dead = finished(store, 3, State.FAILED)
    done = finished(store, 3, State.SUCCEEDED)
    worker = Worker(store)
    put_many(store, 300, args='"' + "x" * 10_000 + '"')
    for job in worker.claim(20):
        worker.turn(output=[OutputLine(job.id, job.attempt, Output.LOG, SAYING)] * 50)
    finished(store, 3, State.SUCCEEDED, args='"' + "x" * 10_000 + '"')
    with nothing_changed(store):
        assert prune_all(store, Retention(max_bytes=1 << 20)) == 0
    assert prune_all(store, Retention(max_bytes=25_000)) == 4
    kept = store.list_jobs(JobFilter(states=[State.SUCCEEDED, State.FAILED]), limit=ALL)
    assert sorted(job.id for job in kept)[:3] == dead
    assert not {job.id for job in kept} & set(done)


def test_a_few_heavy_jobs_among_many_light_ones(store: Store, clock: SettableClock) -> None:
    """However unlike they are, what all hold is known: nothing goes too early, or too late."""
    heavy = '"' + "x" * 500_000 + '"'
    for _ in range(5):
        finished(store, 600, State.SUCCEEDED)
        finished(store, 1, State.SUCCEEDED, args=heavy)
        clock.advance(1)
    bound = Retention(None, None, None, max_jobs=None)
    exact = 5 * (600 * 502 + 500_502)  # arguments, a row, and three events
    with nothing_changed(store):
        assert prune_all(store, replace(bound, max_bytes=exact)) == 0
    assert prune_all(store, replace(bound, max_bytes=exact - 1)) == 1
    assert prune_all(store, replace(bound, max_bytes=exact - 500_000)) == 600
    assert len(left(store)) == 5 * 601 - 601


def test_each_job_is_measured_but_once(store: Store, clock: SettableClock) -> None:
    """A look is at what has ended since the last, and at what stood beside what is gone."""
    assert isinstance(store, RetentionVerbs)
    read, measured = store._db.read, list[int]()

    def reading(statement: str, **asked: Any) -> list[Any]:
        found = read(statement, **asked)
        if statement == "retention.weights":
            measured.append(len(json.loads(found[0][0])))
        return found

    def look() -> int:
        measured.clear()
        assert not measure.look(reading, patience=math.inf)
        assert measure.held == 502 * len(left(store))
        return sum(measured)

    ids = []
    for _ in range(60):
        ids += finished(store, 50, State.SUCCEEDED)
        clock.advance(1)
    measure = Measure(LEAST_MISSED)
    assert measure.look(reading, patience=0)
    assert not measured
    assert 3000 <= look() < 2 * 3000  # jobs that ended at one instant are of one span
    assert look() == 0
    more = finished(store, 3, State.SUCCEEDED)
    assert look() < MOST
    store.delete(more[0])
    store.delete(ids[0])
    assert look() < 2 * MOST
    for job_id in ids[1:2000]:
        store.delete(job_id)
    assert look() < 2 * MOST
    assert look() == 0


def test_on_a_slow_link_as_many_are_measured_by_one_read_as_at_first(
    store: Store, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read that takes long may do so for the way alone: fewer jobs would make it no shorter."""
    assert isinstance(store, RetentionVerbs)
    monkeypatch.setattr(measuring, "LONG", 0)
    read, reads = store._db.read, 0

    def reading(statement: str, **asked: Any) -> list[Any]:
        nonlocal reads
        reads += statement == "retention.weights"
        return read(statement, **asked)

    for _ in range(20):
        finished(store, 50, State.SUCCEEDED)
        clock.advance(1)
    measure = Measure(LEAST_MISSED)
    assert not measure.look(reading, patience=math.inf)
    assert reads < 30


def test_a_read_that_fails_is_of_fewer_jobs_the_next_time(store: Store) -> None:
    """However much a few jobs have written down, in the end they are measured."""
    assert isinstance(store, RetentionVerbs)
    read, refused = store._db.read, 0

    def reading(statement: str, **asked: Any) -> list[Any]:
        nonlocal refused
        if asked.get("limit", 0) > 2:
            refused += 1
            raise Unavailable("It takes too long.")
        return read(statement, **asked)

    finished(store, 1, State.FAILED)
    measure = Measure([State.FAILED])
    while measure.held == 0:
        with suppress(Unavailable):
            measure.look(reading, patience=math.inf)
        assert refused < 10


def measured_anew(store: Store) -> int:
    """Return how many bytes finished jobs hold, found by measuring all of them."""
    assert isinstance(store, RetentionVerbs)
    measure = Measure(LEAST_MISSED)
    assert not measure.look(store._db.read, patience=math.inf)
    return measure.held


@pytest.mark.parametrize(("before", "after"), [(0, 50_000), (50_000, 0)])
def test_as_many_are_not_taken_for_the_same(
    store: Store, clock: SettableClock, before: int, after: int
) -> None:
    """Whatever leaves and comes between two looks: both are noticed."""
    assert isinstance(store, RetentionVerbs)
    measure = Measure(LEAST_MISSED)

    def look() -> None:
        measure.look(store._db.read, patience=math.inf)
        assert measure.held == measured_anew(store)

    ids = []
    for _ in range(10):
        ids += finished(store, 1, State.SUCCEEDED, args='"' + "x" * before + '"')
        clock.advance(0.002)
    look()
    for job_id in ids[-5:]:
        store.delete(job_id)
    for _ in range(5):
        ids += finished(store, 1, State.SUCCEEDED, args='"' + "x" * after + '"')
        clock.advance(0.002)
    look()
    store.delete(ids[-1])
    clock.advance(-0.011)  # as of one whose end is committed after that of a later one
    finished(store, 1, State.SUCCEEDED, args='"' + "x" * before + '"')
    look()


def test_a_job_that_fails_again_and_again_grows(store: Store, clock: SettableClock) -> None:
    """What is requeued leaves, and when it comes back with more to it that is measured."""
    job_id = put(store, max_attempts=1)
    worker = Worker(store, lease=10**6)
    worker.run(FATAL)
    bound = Retention(None, None, None, max_jobs=None, max_bytes=5000)
    times = 0
    while store.prune(bound) == 0:
        assert measured_anew(store) <= 5000
        clock.advance(1)
        store.requeue(job_id)
        worker.run(FATAL)
        times += 1
    assert 5 < times < 50


def test_who_prunes_sees_what_another_has_taken(
    store: Store, other: Store, clock: SettableClock
) -> None:
    """What is believed to be held is, however much has come in place of what is gone."""
    heavy = finished(store, 5, State.SUCCEEDED, args='"' + "x" * 100_000 + '"')
    bound = Retention(None, None, None, max_jobs=None, max_bytes=600_000)
    assert store.prune(bound) == 0
    for job_id in heavy:
        other.delete(job_id)
    clock.advance(1)
    finished(other, 5, State.SUCCEEDED)
    with nothing_changed(store):
        assert store.prune(replace(bound, max_bytes=400_000)) == 0


def test_jobs_that_end_one_by_one_are_of_one_span(store: Store, clock: SettableClock) -> None:
    """A look costs as little when there were many before it with little to see."""
    assert isinstance(store, RetentionVerbs)
    read, spans = store._db.read, list[Any]()

    def reading(statement: str, **asked: Any) -> list[Any]:
        if statement == "retention.counts":
            spans[:] = json.loads(asked["spans"])
        return read(statement, **asked)

    measure = Measure(LEAST_MISSED)
    for _ in range(30):
        finished(store, 1, State.SUCCEEDED)
        finished(store, 1, State.FAILED)
        assert not measure.look(reading, patience=math.inf)
        assert measure.held == measured_anew(store)
        clock.advance(1)
    assert len(spans) == 5  # of each state one that is still empty


def test_several_prune_by_size_side_by_side(
    store: Store, other: Store, clock: SettableClock
) -> None:
    """Together they take no more than must go."""
    finished(store, 400, State.SUCCEEDED)
    bound = Retention(None, None, None, max_jobs=None, max_bytes=502 * 350)
    with ThreadPoolExecutor(2) as pool:
        gone = [pool.submit(prune_all, one, bound, 10) for one in (store, other)]
    assert sum(one.result() for one in gone) == 50
    assert len(left(store)) == 350


def test_a_call_is_a_small_batch(store: Store, clock: SettableClock) -> None:
    """No call takes more than its batch, so none keeps others waiting for long."""
    finished(store, 10, State.SUCCEEDED)
    finished(store, 10, State.FAILED)
    clock.advance(1000 * DAY)
    sizes = []
    while batch := store.prune(Retention(), batch=7):
        sizes.append(batch)
    assert sizes == [7, 7, 6]
    finished(store, 10, State.CANCELLED)
    assert store.prune(Retention(max_jobs=0), batch=4) == 4


def test_jobs_with_many_events_go_few_at_once(
    store: Store, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No batch has more events than may go at once: one that has more itself goes in portions."""
    monkeypatch.setattr(retention, "EVENTS_AT_ONCE", 30)
    worker = Worker(store, lease=10**9)
    for lines in (0, 0, 12, 13, 80, 0, 27, 28):  # and three more: enqueue, claim, complete
        put(store)
        job = worker.take()
        said = [OutputLine(job.id, job.attempt, Output.LOG, str(line)) for line in range(lines)]
        worker.turn([settled(job, OK)], said)
    clock.advance(8 * DAY)
    sizes, record = [], []
    while batch := store.prune(Retention()):
        sizes.append(batch)
        record.append(len(store.events()))
    assert sizes == [3, 1, *(1, 1, 1, 1), 1, 1, *(1, 1, 1)]
    assert max(before - after for before, after in pairwise(record)) == 30
    assert [event.job_id for event in store.events() if event.job_id is not None] == []


def test_a_job_with_very_many_events_is_deleted_at_once(
    store: Store, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is gone; what was written down of it goes in the passes that follow, attempts too."""
    monkeypatch.setattr(retention, "EVENTS_AT_ONCE", 30)
    worker = Worker(store, lease=10**9)
    job_id = put(store)
    for _ in range(45):
        worker.run(Released("again"))
    worker.run(OK)
    store.delete(job_id)
    assert store.get(job_id) is None
    assert len(store.events(job_id=job_id)) == 1 + 2 * 46
    assert [store.prune(Retention()) for _ in range(5)] == [1, 1, 1, 1, 0]
    assert (store.events(job_id=job_id), store.attempts(job_id)) == ([], [])


def test_the_record_of_workers_goes_at_the_longest_age(store: Store, clock: SettableClock) -> None:
    """Workers long gone, and events that belong to no job, go with the oldest of the jobs."""
    gone, lost, alive = (Worker(store, lease=10**9) for _ in range(3))
    store.pause("default")
    store.retire(gone.id)
    store.rescue(lost.id, reason="gone", expired_only=False)
    clock.advance(90 * DAY)
    store.prune(Retention())
    assert len(store.workers(gone=True)) == 3
    clock.advance(0.001)
    store.renew(alive.id, 10**9)
    late = Worker(store)
    store.prune(Retention())
    assert [info.id for info in store.workers(gone=True)] == [late.id, alive.id]
    assert [(event.name, event.worker) for event in store.events()] == [("worker_started", late.id)]
    assert [queue.name for queue in store.queues() if queue.paused] == ["default"]


def test_the_record_is_kept_when_any_job_is_kept_for_ever(
    store: Store, clock: SettableClock
) -> None:
    """With one state kept for ever, so is what belongs to no job."""
    store.retire(Worker(store).id)
    clock.advance(10_000 * DAY)
    with nothing_changed(store):
        store.prune(Retention(failed=None))


def test_ids_are_never_used_again(store: Store, clock: SettableClock) -> None:
    """Also when the newest job is gone: an id names one job for ever."""
    (last,) = finished(store, 1, State.SUCCEEDED)
    store.delete(last)
    (next_one,) = finished(store, 1, State.SUCCEEDED)
    assert next_one > last
    clock.advance(10 * DAY)
    assert store.prune(Retention()) == 1
    assert put(store) > next_one
