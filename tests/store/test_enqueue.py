"""enqueue: → available, scheduled or blocked."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from tests.store.hands import (
    ALL,
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
from workhorse.domain.errors import Conflict, InvalidJob, NotFound, WorkhorseError
from workhorse.domain.job import NewJob, State
from workhorse.domain.outcome import Completed
from workhorse.domain.retry import Backoff
from workhorse.store.protocol import JobFilter, Store

A_MIB = 1024 * 1024
TEXTS = {
    "quotes": """it's "quoted" `so` \\ and \\\\ so""",
    "sql": "'); drop table jobs; --",
    "json": '{"a": [1, null, "\\u0041"]}',
    "escapes": "\\u0000 \\ud800 \\x00 %s %(id)s :id ?1 $1 {}",
    "controls": "\x01\x02\t\r\n\x1b[31m\x7f\x85\u2028\u2029",
    "emoji": "👩‍👩‍👧‍👦🏴‍☠️ é é \ufeff\ufffe\uffff",
    "right to left": "\u202eabc\u202c שלום",
    "blank": "   ",
    "empty": "",
}


def test_what_was_refused_does_not_stand_in_the_way_of_the_next(store: Store) -> None:
    """A transaction that was undone leaves its connection as good as it was."""
    first = put(store)
    for _ in range(2):
        with pytest.raises(Conflict):
            store.requeue(first)
        assert state(store, put(store)) is State.AVAILABLE


def test_a_job_is_kept_as_it_was_asked_for(
    store: Store, other: Store, clock: SettableClock
) -> None:
    """What was acknowledged is there, for every process, with all that was asked."""
    asked = NewJob(
        kind="resize:small",
        args='{"picture":"cat.png"}',
        queue="pictures",
        priority=-7,
        timeout=12.5,
        max_attempts=3,
        backoff=Backoff(base=1, factor=2, cap=10, jitter=0),
        unique="cat",
    )
    (answer,) = store.enqueue([asked])
    assert (answer.state, answer.existing) == (State.AVAILABLE, False)
    job = the(other, answer.id)
    assert (job.kind, job.args, job.queue, job.priority) == (
        "resize:small",
        '{"picture":"cat.png"}',
        "pictures",
        -7,
    )
    assert (job.timeout, job.max_attempts, job.unique) == (12.5, 3, "cat")
    assert job.backoff == Backoff(base=1, factor=2, cap=10, jitter=0)
    assert (job.state, job.enqueued_at, job.run_at) == (State.AVAILABLE, clock.now, clock.now)
    assert (job.attempt, job.failures, job.crashes, job.lost) == (0, 0, 0, 0)
    assert (job.started_at, job.finished_at, job.worker, job.outcome) == (None, None, None, None)
    assert (job.result, job.error, job.progress, job.waits_for) == (None, None, None, [])
    assert (job.solo, job.cancel_requested, job.is_finished) == (False, False, False)


def test_a_job_that_asks_for_nothing_has_the_defaults(store: Store) -> None:
    """No timeout, the default queue, priority, budget and backoff."""
    job = the(store, put(store))
    default = NewJob("work")
    assert (job.queue, job.priority, job.args) == (default.queue, default.priority, "{}")
    assert (job.timeout, job.max_attempts, job.backoff) == (None, 5, default.backoff)


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ({"delay": 0.0}, State.AVAILABLE),
        ({"delay": 0.25}, State.SCHEDULED),
        ({"delay": 86_400.0 * 365 * 100}, State.SCHEDULED),
    ],
)
def test_a_delay_counts_from_the_clock_of_the_store(
    store: Store, clock: SettableClock, when: dict[str, float], expected: State
) -> None:
    """A delayed job is scheduled, to the millisecond; one without a delay is available."""
    job = the(store, put(store, **when))
    assert job.state is expected
    assert job.run_at == clock.now + round(when["delay"] * 1000)


@pytest.mark.parametrize(
    ("ahead", "expected"),
    [(-1, State.AVAILABLE), (0, State.AVAILABLE), (1, State.SCHEDULED)],
)
def test_an_instant_is_kept_as_it_is(
    store: Store, clock: SettableClock, ahead: int, expected: State
) -> None:
    """A job for an instant to come is scheduled; one for the past is available."""
    job = the(store, put(store, run_at=clock.now + ahead))
    assert (job.state, job.run_at) == (expected, clock.now + ahead)


def test_ids_grow_in_the_order_of_the_call(store: Store) -> None:
    """Answers come in the order of the jobs, whatever each of them asks for."""
    first = put(store)
    asked = [
        a_job(args="1"),
        a_job(args="2"),
        a_job(args="3", priority=5),
        a_job(args="4", unique="u"),
        a_job(args="5", delay=9),
        a_job(args="6", after=[first]),
        a_job(args="7"),
    ]
    answers = store.enqueue(asked)
    ids = [answer.id for answer in answers]
    assert ids == sorted(set(ids))
    assert ids[0] > first
    assert [the(store, id).args for id in ids] == [job.args for job in asked]
    assert [answer.state for answer in answers] == [state(store, id) for id in ids]


def test_a_bulk_keeps_each_payload_with_its_job(store: Store) -> None:
    """Thousands at once: each answer is the id of its own job, each has its own event."""
    answers = store.enqueue([a_job(args=json.dumps({"n": n})) for n in range(2500)])
    jobs = {job.id: job for job in store.list_jobs(JobFilter(), limit=ALL)}
    assert [json.loads(jobs[answer.id].args)["n"] for answer in answers] == list(range(2500))
    told = [event.job_id for event in store.events(limit=ALL)]
    assert told == [answer.id for answer in answers]


def test_nothing_is_enqueued_by_an_empty_list(store: Store) -> None:
    """No jobs, no answers, no change."""
    with nothing_changed(store):
        assert store.enqueue([]) == []


def test_the_event_tells_the_state(store: Store) -> None:
    """The record says which state a job began in, unless it was available."""
    available, scheduled = put(store), put(store, delay=1)
    blocked = put(store, after=[available])
    for job_id, data in ((available, {}), (scheduled, "scheduled"), (blocked, "blocked")):
        (event,) = store.events(job_id=job_id)
        assert event.name == "enqueue"
        assert event.data == (data and {"state": data})


@pytest.mark.parametrize(
    ("spoiler", "error"),
    [
        (a_job(after=[NOBODY]), NotFound),
        (a_job(max_attempts=0), InvalidJob),
        (a_job(priority=2**70), InvalidJob),
        (a_job(args='"\ud800"'), InvalidJob),
        (a_job(args='"\ud800"', unique="u"), InvalidJob),
        (a_job(unique="\udfff"), InvalidJob),
        (a_job(kind="\udfff"), InvalidJob),
    ],
    ids=["no such job", "no budget", "far too urgent", "surrogate", "alone", "key", "kind"],
)
def test_all_or_none(store: Store, spoiler: NewJob, error: type[WorkhorseError]) -> None:
    """One job that cannot be stored, and none of its call is; the error is one of ours."""
    put(store)
    with nothing_changed(store), pytest.raises(error):
        store.enqueue([a_job(), a_job(unique="free"), spoiler, a_job()])
    assert not store.enqueue([a_job(unique="free")])[0].existing


@pytest.mark.parametrize("ended", [State.FAILED, State.CANCELLED])
def test_no_job_waits_for_one_that_did_not_succeed(store: Store, ended: State) -> None:
    """A job after one that has failed or was cancelled is cancelled at once, and says why."""
    gone, running = a_job_in(ended, store), a_job_in(State.RUNNING, store)
    before, late, after = store.enqueue(
        [a_job(), a_job(after=[running, gone], unique="its", idempotency_key="late"), a_job()]
    )
    assert (late.state, late.existing) == (State.CANCELLED, False)
    assert [before.state, after.state] == [State.AVAILABLE] * 2
    job = the(store, late.id)
    assert (job.state, list(job.waits_for)) == (State.CANCELLED, [])
    assert job.error == {"type": "Cancelled", "message": f"job {gone} {ended}"}
    assert story(store, late.id) == ["enqueue", "cancel"]
    assert store.sweep() == 0
    assert not store.enqueue([a_job(unique="its")])[0].existing
    assert store.enqueue([a_job(idempotency_key="late")])[0] == (late.id, State.CANCELLED, True)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_hostile_text_comes_back_as_it_went_in(store: Store, text: str) -> None:
    """Whatever text a payload, a unique key or a result holds: it comes back unchanged."""
    args, worker = json.dumps({text: text}, ensure_ascii=False), Worker(store)
    ids = [put(store, args=args), put(store, args=args, unique=text)]
    claimed = worker.claim()
    assert [(job.id, job.args) for job in claimed] == [(id, args) for id in ids]
    for job in claimed:
        worker.settle(job, Completed(args))
        assert (the(store, job.id).args, the(store, job.id).result) == (args, args)
    assert the(store, ids[1]).unique == text


@pytest.mark.parametrize("filling", ["x", '"', "\\", "😀"])
def test_payload_and_result_of_a_mebibyte(store: Store, filling: str) -> None:
    """A payload and a result at the limit go in and come back, alone and with neighbours."""
    text = json.dumps("", ensure_ascii=False)
    room = A_MIB - len(text)
    width = len(json.dumps(filling, ensure_ascii=False).encode()) - 2
    text = json.dumps(filling * (room // width), ensure_ascii=False)
    assert A_MIB - width <= len(text.encode()) <= A_MIB
    worker = Worker(store)
    ids = [answer.id for answer in store.enqueue([a_job(args=text)] * 3)]
    claimed = worker.claim()
    assert [job.args == text for job in claimed] == [True] * 3
    for job in claimed:
        worker.settle(job, Completed(text))
    assert [the(store, id).result == text for id in ids] == [True] * 3


def test_a_refused_text_leaves_no_trap(store: Store) -> None:
    """After text that the store cannot hold was refused, its neighbours are claimed and run."""
    before = put(store)
    for hostile in (a_job(args='"\udc80"'), a_job(queue="\udc80")):
        with pytest.raises(InvalidJob):
            store.enqueue([hostile] * 2)
    after = put(store)
    worker = Worker(store)
    assert [worker.run(OK).id for _ in range(2)] == [before, after]


def test_escaped_text_is_not_read_by_the_store(store: Store) -> None:
    """JSON escapes, even of NUL and of half a character, stay the text they are."""
    args: Sequence[str] = [r'"\u0000"', r'"\ud800"', r'"a\u0000b\\u0000"']
    answers = store.enqueue([a_job(args=text) for text in args])
    assert [the(store, answer.id).args for answer in answers] == args
    assert [job.args for job in Worker(store).claim()] == args


def test_every_job_has_its_event(store: Store) -> None:
    """Not one job is there without its line in the record."""
    ids = put_many(store, 3)
    assert [story(store, id) for id in ids] == [["enqueue"]] * 3
