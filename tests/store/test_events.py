"""The record: one event beside each change, in order, for ever, and without payloads."""

from __future__ import annotations

import json
from itertools import product

import pytest

from tests.store.hands import (
    ALL,
    ERROR,
    FATAL,
    NOBODY,
    OK,
    SettableClock,
    Worker,
    a_job,
    a_job_in,
    put,
    settled,
    story,
)
from workhorse.domain.errors import InvalidJob, NotFound
from workhorse.domain.events import EVENT_NAMES, Life, Output, OutputLine
from workhorse.domain.job import State
from workhorse.domain.outcome import (
    AttemptOutcome,
    Cancelled,
    Completed,
    Crashed,
    Failed,
    Failure,
    Rejected,
    Released,
    Snoozed,
    TimedOut,
)
from workhorse.domain.retry import Backoff
from workhorse.domain.transitions import Verb
from workhorse.store.protocol import JobFilter, Retention, Store

CANARY = "canary-7f3a"
OUTPUT = {output.value for output in Output}


def a_full_life(store: Store, clock: SettableClock) -> None:
    """Take every edge and everything else that writes an event, at least once."""
    worker = Worker(store, lease=10**6)
    first = put(store)
    put(store, after=[first], backoff=Backoff(base=1, jitter=0))
    put(store, delay=1)
    clock.advance(1)
    store.promote()
    worker.run(OK)
    worker.run(ERROR)
    worker.run(Snoozed(1))
    clock.advance(1)
    store.promote()
    worker.run(Released("drained"))
    worker.run(FATAL)
    job = worker.take()
    worker.turn(
        output=[
            OutputLine(job.id, job.attempt, Output.LOG, '{"message":"hello","stream":"log"}'),
            OutputLine(job.id, job.attempt, Output.PROGRESS, '{"percent":5,"message":"some"}'),
        ]
    )
    store.rescue(worker.id, reason="gone", expired_only=False)
    for dead in store.requeue_many(JobFilter()):
        store.cancel(dead)
    store.cancel(job.id)
    store.pause("default")
    store.resume("default")
    store.delete(a_job_in(State.SUCCEEDED, store))
    store.note(Life.CHILD_DIED, worker=worker.id, data={"child": 1})
    stopping = Worker(store)
    store.draining(stopping.id)
    store.retire(stopping.id)


def test_everything_that_happens_is_written_down(store: Store, clock: SettableClock) -> None:
    """Each verb and each turn of a worker's or a queue's life leaves its event."""
    a_full_life(store, clock)
    assert {event.name for event in store.events(limit=ALL)} == set(EVENT_NAMES)


def test_an_event_says_who_and_when(store: Store, clock: SettableClock) -> None:
    """Job, attempt and worker stand on each step of an attempt; the time is the store's."""
    job_id = put(store)
    clock.advance(1)
    worker = Worker(store)
    job = worker.take()
    clock.advance(1)
    worker.settle(job, OK)
    enqueued, claimed, completed = store.events(job_id=job_id)
    start = clock.now - 2000
    assert (enqueued.at, enqueued.attempt, enqueued.worker) == (start, None, None)
    assert (claimed.at, claimed.attempt, claimed.worker) == (start + 1000, 1, worker.id)
    assert (completed.at, completed.attempt, completed.worker) == (start + 2000, 1, worker.id)
    assert [event.data for event in (enqueued, claimed, completed)] == [{}, {}, {"outcome": "ok"}]


def test_the_record_is_read_with_a_cursor(store: Store, clock: SettableClock) -> None:
    """Page by page everything comes once, in order; then nothing, until there is more."""
    a_full_life(store, clock)
    whole = store.events(limit=ALL)
    assert [event.seq for event in whole] == sorted({event.seq for event in whole})
    assert [event.at for event in whole] == sorted(event.at for event in whole)
    pages, cursor = [], 0
    while page := store.events(after=cursor, limit=7):
        assert len(page) <= 7
        pages += page
        cursor = page[-1].seq
    assert pages == whole
    assert store.events(after=cursor) == []
    assert store.events(after=2**63 - 1) == []
    for job_id, after in product((None, 1), (-1, -(10**30), 10**30)):
        with pytest.raises(InvalidJob, match=f"after={after} is not the number of an event"):
            store.events(job_id=job_id, after=after)
    put(store)
    assert [event.name for event in store.events(after=cursor)] == ["enqueue"]


def test_the_record_of_one_job(store: Store, clock: SettableClock) -> None:
    """It is that part of the whole which is about the job, and pages in the same way."""
    a_full_life(store, clock)
    whole = store.events(limit=ALL)
    for job_id in {event.job_id for event in whole if event.job_id is not None}:
        about = [event for event in whole if event.job_id == job_id]
        assert store.events(job_id=job_id, limit=ALL) == about
        assert store.events(job_id=job_id, after=about[0].seq, limit=1) == about[1:2]
    assert store.events(job_id=NOBODY) == []
    assert store.events(job_id=10**30) == []


def test_the_audit_is_the_record_without_output(store: Store, clock: SettableClock) -> None:
    """What handlers said can be left out, of the whole and of one job."""
    a_full_life(store, clock)
    whole = store.events(limit=ALL)
    audit = [event for event in whole if event.name not in OUTPUT]
    assert len(audit) < len(whole)
    assert store.events(output=False, limit=ALL) == audit
    (told,) = {event.job_id for event in whole if event.name in OUTPUT}
    assert store.events(job_id=told, output=False, limit=ALL) == [
        event for event in audit if event.job_id == told
    ]


def test_what_is_written_stays_written(store: Store, other: Store, clock: SettableClock) -> None:
    """The record only grows: whatever happens later, an event that was read is read again."""
    a_full_life(store, clock)
    before = store.events(limit=ALL)
    a_full_life(store, clock)
    assert other.events(limit=ALL)[: len(before)] == before


def test_a_change_that_fails_writes_nothing(store: Store) -> None:
    """The event is part of the transaction: without the change there is none."""
    put(store)
    before = store.events()
    with pytest.raises(NotFound):
        store.enqueue([a_job(), a_job(after=[NOBODY])])
    with pytest.raises(NotFound):
        store.cancel(NOBODY)
    assert store.events() == before


def test_a_read_changes_nothing(store: Store, clock: SettableClock) -> None:
    """Looking at a store leaves no trace in it."""
    a_full_life(store, clock)
    before = store.events(limit=ALL)
    store.health(), store.queues(), store.workers(), store.waiting(), store.look()
    store.expired_workers(), store.held(1), store.get(1)
    assert store.events(limit=ALL) == before


OUTCOMES: dict[str, AttemptOutcome] = {
    "ok": Completed(f'"{CANARY}"'),
    "error": Failed(Failure("ValueError", CANARY, CANARY)),
    "permanent": Failed(Failure("ValueError", CANARY, CANARY), permanent=True),
    "out of memory": Failed(Failure("MemoryError", CANARY), out_of_memory=True),
    "rejected": Rejected(CANARY),
    "snoozed": Snoozed(1, CANARY),
}


@pytest.mark.parametrize("outcome", OUTCOMES.values(), ids=OUTCOMES)
def test_the_audit_holds_no_payload(store: Store, outcome: AttemptOutcome) -> None:
    """Arguments, results, progress, and whatever a handler raises or says stay out of it."""
    job_id = put(store, args=json.dumps(CANARY))
    worker = Worker(store)
    job = worker.take()
    line = json.dumps({"percent": 1, "message": CANARY})
    worker.turn(output=[OutputLine(job.id, job.attempt, Output.PROGRESS, line)])
    worker.settle(job, outcome)
    assert CANARY not in repr(store.events(output=False, limit=ALL))
    assert CANARY in repr(store.events(job_id=job_id, limit=ALL))


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (ERROR, {"outcome": "error", "error": "ValueError"}),
        (TimedOut(3), {"outcome": "timed_out", "reason": "The attempt was over its limit of 3 s."}),
        (
            Crashed(exit_signal="SIGSEGV"),
            {"outcome": "crashed", "reason": "The process running this job ended by SIGSEGV."},
        ),
        (Released("drained"), {"outcome": "released", "reason": "drained"}),
        (Cancelled("not needed"), {"outcome": "cancelled", "reason": "not needed"}),
    ],
)
def test_the_audit_says_why(store: Store, outcome: AttemptOutcome, told: dict[str, str]) -> None:
    """The reason stands there when it is Workhorse's or an operator's; else the error's type."""
    job_id = put(store)
    Worker(store).run(outcome)
    assert store.events(job_id=job_id)[-1].data == told


def test_a_deleted_job_leaves_a_trace(store: Store) -> None:
    """Its own record goes with it; that it was deleted, and in which state, stays."""
    job_id = put(store)
    Worker(store).run(FATAL)
    store.delete(job_id)
    assert store.events(job_id=job_id) == []
    last = store.events(limit=ALL)[-1]
    assert (last.name, last.job_id) == ("job_deleted", None)
    assert last.data == {"job": job_id, "state": "failed"}


def test_edges_of_one_turn_are_told_of_each_job_in_order(store: Store) -> None:
    """A turn that ends, lets go and claims writes: the end, what follows from it, the claim."""
    first = put(store)
    second = put(store, after=[first])
    worker = Worker(store)
    job = worker.take()
    worker.turn([settled(job, OK)], claim=worker.request())
    told = [(event.name, event.job_id) for event in store.events()[-3:]]
    assert told == [("complete", first), ("unblock", second), ("claim", second)]


def test_a_worker_s_life_is_told(store: Store) -> None:
    """Start, drain and stop, each once, with what kind of worker it was."""
    worker = Worker(store, queues=["a", "b"], host="host-1")
    for _ in range(2):
        store.draining(worker.id)
        store.retire(worker.id)
    events = store.events()
    assert [event.name for event in events] == [
        "worker_started",
        "worker_draining",
        "worker_stopped",
    ]
    assert {event.worker for event in events} == {worker.id}
    assert events[0].data == {"host": "host-1", "pid": 4242, "queues": ["a", "b"]}


def test_every_verb_is_an_event_name() -> None:
    """One word per edge: in the domain, the store and the record."""
    assert {verb.value for verb in Verb} <= set(EVENT_NAMES)


def test_a_job_s_story_from_end_to_end(store: Store, clock: SettableClock) -> None:
    """The record of a job is its life, edge by edge."""
    job_id = put(store, delay=1, max_attempts=2, backoff=Backoff(base=1, jitter=0))
    worker = Worker(store, lease=600)
    for outcome in (ERROR, ERROR):
        clock.advance(1)
        store.promote()
        worker.run(outcome)
    store.requeue(job_id)
    worker.run(OK)
    assert story(store, job_id) == [
        *("enqueue", "promote", "claim", "retry"),
        *("promote", "claim", "fail"),
        *("requeue", "claim", "complete"),
    ]


def test_the_events_of_a_pruned_job_go_with_it(store: Store, clock: SettableClock) -> None:
    """What retention removes is removed whole; what remains keeps its place in the record."""
    old = put(store)
    Worker(store).run(OK)
    clock.advance(100)
    young = put(store)
    before = store.events(job_id=young)
    assert store.prune(Retention(succeeded=50)) == 1
    assert (store.events(job_id=old), store.events(job_id=young)) == ([], before)
