"""claim: available → running, attempt + 1."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.store.hands import (
    ERROR,
    LOST,
    NOBODY,
    OK,
    SettableClock,
    Worker,
    a_job,
    a_job_in,
    nothing_changed,
    put,
    put_many,
    settled,
    state,
    story,
    the,
)
from workhorse.domain.job import Claimed, State
from workhorse.domain.outcome import Released
from workhorse.domain.retry import Backoff
from workhorse.store.protocol import (
    TURN_BYTES,
    ClaimRequest,
    Store,
    Turn,
    args_bytes,
    fills_turn,
)


def ids(claimed: Sequence[Claimed]) -> list[int]:
    return [job.id for job in claimed]


def test_a_claim_takes_a_job(store: Store, clock: SettableClock) -> None:
    """The job runs, with its first attempt, under the worker's name; the worker knows all of it."""
    backoff = Backoff(base=1, factor=3, cap=9, jitter=0.5)
    job_id = put(
        store, args='{"a":1}', priority=3, timeout=7.5, max_attempts=2, backoff=backoff, unique="u"
    )
    asked_at = clock.now
    clock.advance(5)
    worker = Worker(store)
    claimed = worker.take(child=4)
    assert claimed == Claimed(
        id=job_id,
        attempt=1,
        kind="work",
        args='{"a":1}',
        queue="default",
        priority=3,
        timeout=7.5,
        max_attempts=2,
        backoff=backoff,
        failures=0,
        crashes=0,
        lost=0,
        solo=False,
        cancel_requested=False,
        enqueued_at=asked_at,
        started_at=clock.now,
    )
    job = the(store, job_id)
    assert (job.state, job.attempt, job.worker) == (State.RUNNING, 1, worker.id)
    assert job.started_at == clock.now
    assert store.held(worker.id) == store.held(worker.id, 4) == [claimed]
    assert store.held(worker.id, 5) == []


def test_the_highest_priority_first_then_the_oldest(store: Store) -> None:
    """Within a queue the more urgent start first, equals in the order they came."""
    priorities = [0, 10, -10, 0, 20, 10, 2**31 - 1, -(2**31)]
    jobs = {put(store, priority=priority): priority for priority in priorities}
    expected = sorted(jobs, key=lambda id: (-jobs[id], id))
    worker = Worker(store)
    assert ids(worker.claim(3)) == expected[:3]
    assert ids(worker.claim()) == expected[3:]


def test_jobs_of_one_claim_may_differ(store: Store) -> None:
    """Each comes as itself, at its place, whatever its neighbours have in common."""
    backoff = Backoff(base=1, factor=3, cap=9, jitter=0.5)
    facts: list[dict[str, Any]] = [
        {"args": '{"a":"\\"x\\", {y}\\\\ NULL é"}'},
        {"kind": "other", "timeout": 1.5},
        {"args": '[1,"2"]'},
        {"kind": "other", "timeout": 1.5, "args": '""'},
        {"backoff": backoff, "max_attempts": 2},
        {"queue": "early", "priority": -1},
        {"priority": 1},
        {"queue": "early", "kind": "other"},
    ]
    jobs = [put(store, **one) for one in facts]
    worker = Worker(store, queues=["early", "default"], kinds=["work", "other"])
    claimed = worker.claim()
    assert ids(claimed) == [jobs[place] for place in (7, 5, 6, 0, 1, 2, 3, 4)]
    assert sorted(claimed) == store.held(worker.id)
    assert [the(store, job.id).args for job in claimed] == [job.args for job in claimed]


def test_queues_are_in_strict_order(store: Store) -> None:
    """A job of a later queue is claimed only when the earlier ones have none left."""
    low = put_many(store, 2, queue="low", priority=100)
    high = put_many(store, 3, queue="high", priority=-100)
    put(store, queue="elsewhere")
    worker = Worker(store, queues=["high", "low"])
    assert ids(worker.claim(2)) == high[:2]
    assert ids(worker.claim(2)) == [high[2], low[0]]
    late = put(store, queue="high")
    assert ids(worker.claim(1)) == [late]
    assert ids(worker.claim()) == [low[1]]


def test_a_queue_named_twice_is_one_queue(store: Store) -> None:
    """Nothing is claimed twice because its queue is named twice."""
    job_id = put(store)
    worker = Worker(store, queues=["default", "default"])
    assert ids(worker.claim(5)) == [job_id]
    assert story(store, job_id) == ["enqueue", "claim"]
    jobs = [*put_many(store, 3), put(store, queue="low")]
    assert ids(worker.claim(4, queues=["default", "default", "low"])) == jobs


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_is_for_the_whole_claim(store: Store, limit: int) -> None:
    """Never more than asked, over all queues together; none when none is asked."""
    put_many(store, 3, queue="a")
    put_many(store, 3, queue="b")
    worker = Worker(store, queues=["a", "b"])
    assert len(worker.claim(4)) == 4
    with nothing_changed(store):
        assert worker.claim(limit) == []
    assert len(worker.claim(4)) == 2


def test_a_thousand_at_once(store: Store) -> None:
    """A claim may be as large as it likes; each job comes once, in order."""
    jobs = put_many(store, 1100)
    worker = Worker(store)
    assert ids(worker.claim(1000)) == jobs[:1000]
    assert len(store.held(worker.id)) == 1000
    assert ids(worker.claim(1000)) == jobs[1000:]


def test_unknown_kinds_are_left_alone_and_reported(store: Store) -> None:
    """Jobs of a kind the worker does not have wait, in nobody's way, and can be found."""
    strange = put_many(store, 50, kind="strange", priority=100)
    known = put(store)
    with_both = Worker(store, kinds=["strange", "work"])
    worker = Worker(store)
    assert ids(worker.claim()) == [known]
    assert {state(store, id) for id in strange} == {State.AVAILABLE}
    assert story(store, strange[0]) == ["enqueue"]
    assert store.waiting() == {("default", "strange"): 50}
    assert ids(with_both.claim()) == strange


def test_a_paused_queue_is_passed_over(store: Store) -> None:
    """Nothing is claimed from a paused queue; the others go on, and so does what runs."""
    paused, other = put_many(store, 2, queue="paused"), put(store, queue="other")
    worker = Worker(store, queues=["paused", "other"])
    running = worker.take()
    store.pause("paused")
    assert ids(worker.claim()) == [other]
    assert worker.settle(running, OK) == []
    assert worker.claim() == []
    store.resume("paused")
    assert ids(worker.claim()) == paused[1:]


@pytest.mark.parametrize("not_available", [s for s in State if s is not State.AVAILABLE])
def test_only_available_jobs_are_claimed(store: Store, not_available: State) -> None:
    """A job in any other state is not touched by a claim."""
    a_job_in(not_available, store, queue="here")
    worker = Worker(store, queues=["here"])
    with nothing_changed(store):
        assert worker.claim() == []


def test_nothing_is_claimed_twice(store: Store, other: Store) -> None:
    """Many threads on two connections claim at once: each job goes to one of them."""
    jobs = put_many(store, 400)
    workers = [Worker(one) for one in (store, other) * 4]

    def work(worker: Worker) -> list[tuple[int, int]]:
        taken: list[tuple[int, int]] = []
        while claimed := worker.claim(7):
            taken += [(worker.id, job.id) for job in claimed]
        return taken

    with ThreadPoolExecutor(len(workers)) as pool:
        taken = [pair for pairs in pool.map(work, workers) for pair in pairs]
    assert sorted(job_id for _, job_id in taken) == jobs
    assert all(the(store, job_id).worker == worker for worker, job_id in taken)


@pytest.mark.parametrize("letter", ["x", "ж"], ids=["one byte", "two bytes"])
def test_a_claim_carries_no_more_than_a_turn_can(store: Store, letter: str) -> None:
    """It ends near so many bytes of arguments, in order; a next one goes on from there."""
    size = TURN_BYTES // 40
    args = f'["{letter * (size // len(letter.encode()) - 4)}"]'
    jobs = put_many(store, 130, args=args)
    worker = Worker(store)
    taken: list[int] = []
    while claimed := worker.claim():
        assert fills_turn(claimed) or taken
        assert args_bytes(claimed) <= 2 * TURN_BYTES
        taken += ids(claimed)
    assert taken == jobs


def test_a_job_larger_than_a_turn_is_claimed_all_the_same(store: Store) -> None:
    """What no turn has room for is carried by one, which not all that wait go with."""
    waiting = [put(store, args=f'["{"x" * TURN_BYTES}"]'), *put_many(store, 60)]
    worker = Worker(store)
    claimed = ids(worker.claim())
    assert claimed == waiting[: len(claimed)]
    assert 0 < len(claimed) < len(waiting)
    assert claimed + ids(worker.claim()) == waiting


def test_a_claim_needs_a_living_lease(store: Store, clock: SettableClock) -> None:
    """When the lease has run out nothing is claimed; after a renewal it is."""
    put(store)
    worker = Worker(store, lease=10)
    clock.advance(10)
    with nothing_changed(store):
        turn = worker.turn(claim=worker.request())
        assert (turn.claimed, turn.lease_valid) == ([], False)
    assert store.renew(worker.id, 10)
    turn = worker.turn(claim=worker.request())
    assert (len(turn.claimed), turn.lease_valid) == (1, True)


def test_a_settle_needs_no_living_lease(store: Store, clock: SettableClock) -> None:
    """What a worker finished counts while nobody has rescued it; it claims nothing more."""
    done, waiting = put_many(store, 2)
    worker = Worker(store, lease=10)
    job = worker.take()
    clock.advance(60)
    turn = worker.turn([settled(job, OK)], claim=worker.request())
    assert (turn.stale, turn.claimed, turn.lease_valid) == ([], [], False)
    assert (state(store, done), state(store, waiting)) == (State.SUCCEEDED, State.AVAILABLE)


@pytest.mark.parametrize("end", ["retired", "found lost", "never there"])
def test_a_worker_that_is_gone_claims_nothing(store: Store, end: str) -> None:
    """No claim by a worker that said goodbye, was found dead, or never registered."""
    put(store)
    worker = Worker(store)
    match end:
        case "retired":
            store.retire(worker.id)
        case "found lost":
            store.rescue(worker.id, reason="gone", expired_only=False)
        case _:
            worker.id = NOBODY
    with nothing_changed(store):
        turn = worker.turn(claim=worker.request())
        assert (turn.claimed, turn.lease_valid) == ([], False)


def test_a_draining_worker_claims_nothing(store: Store) -> None:
    """It may settle what it has; its lease is as good as before."""
    put_many(store, 2)
    worker = Worker(store)
    job = worker.take()
    store.draining(worker.id)
    turn = worker.turn([settled(job, OK)], claim=worker.request())
    assert (turn.stale, turn.claimed, turn.lease_valid) == ([], [], True)
    assert state(store, job.id) is State.SUCCEEDED


def test_a_turn_may_claim_nothing(store: Store) -> None:
    """Without a request nothing is claimed; the answer tells of the lease all the same."""
    put(store)
    worker = Worker(store)
    with nothing_changed(store):
        assert worker.turn() == Turn([], [], lease_valid=True)


def test_a_turn_settles_before_it_claims(store: Store) -> None:
    """What becomes available by what ended is claimed in the same turn."""
    first = put(store)
    second = put(store, after=[first])
    worker = Worker(store)
    turn = worker.turn([settled(worker.take(), OK)], claim=worker.request())
    assert ids(turn.claimed) == [second]


def test_solo_jobs_are_claimed_alone(store: Store, clock: SettableClock) -> None:
    """A job that must run alone is claimed only by who asks for such, who gets no other."""
    worker = Worker(store)
    suspect = put(store, priority=50)
    for _ in range(2):
        job = worker.take()
        worker.settle(job, LOST, chance=0)
        clock.advance(60)
        store.renew(worker.id, 30)
        store.promote()
    harmless = put(store)
    assert store.look(worker.id).solo == 1
    assert ids(worker.claim()) == [harmless]
    put(store)
    (alone,) = worker.claim(solo=True)
    assert (alone.id, alone.solo, alone.lost, alone.attempt) == (suspect, True, 2, 3)
    assert store.look(worker.id).solo == 0


def test_a_suspect_is_waited_for_only_where_it_may_run(store: Store) -> None:
    """One that must run alone concerns a worker of its queue and kind, while that is not paused."""
    put(store)
    Worker(store).run(Released("a suspect", solo=True))
    mine = Worker(store)
    others = [Worker(store, queues=["other"]), Worker(store, kinds=["other"])]
    assert [store.look(worker.id).solo for worker in (mine, *others)] == [1, 0, 0]
    store.pause("default")
    assert store.look(mine.id).solo == 0
    store.resume("default")
    assert store.look(mine.id).solo == 1


def test_a_later_attempt_starts_with_a_clean_sheet(store: Store, clock: SettableClock) -> None:
    """A second attempt has the next number, the failures so far, and no progress of the first."""
    job_id = put(store, backoff=Backoff(base=1, jitter=0))
    worker = Worker(store)
    worker.run(ERROR)
    clock.advance(1)
    store.promote()
    again = worker.take()
    assert (again.attempt, again.failures, again.started_at) == (2, 1, clock.now)
    job = the(store, job_id)
    assert (job.progress, job.message) == (None, None)


def test_inline_claims_by_id(store: Store) -> None:
    """One job is claimed out of turn, past its queue, its time and its neighbours."""
    first, due = put(store), put(store, delay=3600, queue="elsewhere")
    worker = Worker(store, kinds=["other"])
    for job_id in (due, first):
        claimed = store.claim_job(worker.id, job_id)
        assert claimed is not None
        assert (claimed.id, claimed.attempt) == (job_id, 1)
        assert state(store, job_id) is State.RUNNING
    assert story(store, due) == ["enqueue", "promote", "claim"]


@pytest.mark.parametrize(
    "held_back", [s for s in State if s not in {State.AVAILABLE, State.SCHEDULED}]
)
def test_inline_claims_only_what_may_run(store: Store, held_back: State) -> None:
    """A job that waits, runs or has ended is not claimed by its id."""
    job_id, worker = a_job_in(held_back, store), Worker(store)
    with nothing_changed(store):
        assert store.claim_job(worker.id, job_id) is None
        assert store.claim_job(worker.id, NOBODY) is None


@pytest.mark.parametrize("delay", [0, 3600], ids=["available", "scheduled"])
@pytest.mark.parametrize("end", ["lease ran out", "draining", "retired", "never there"])
def test_inline_needs_a_worker_that_may_claim(
    store: Store, clock: SettableClock, end: str, delay: int
) -> None:
    """Without a lease, or while it drains, nothing is claimed by its id, nor made available."""
    job_id, worker = put(store, delay=delay), Worker(store, lease=10)
    match end:
        case "lease ran out":
            clock.advance(10)
        case "draining":
            store.draining(worker.id)
        case "retired":
            store.retire(worker.id)
        case _:
            worker.id = NOBODY
    with nothing_changed(store):
        assert store.claim_job(worker.id, job_id) is None


def test_a_request_is_plain_data(store: Store) -> None:
    """A claim for no kinds, or from no queues, gets nothing."""
    store.enqueue([a_job()])
    worker = Worker(store)
    for queues, kinds in (((), ("work",)), (("default",), ())):
        request = ClaimRequest(child=1, queues=queues, kinds=kinds, limit=10)
        assert worker.turn(claim=request).claimed == []
