"""unblock: blocked → available, by whoever finishes the last job it waited for; a sweep repairs."""

from __future__ import annotations

import pytest

from tests.store.backends import Backend
from tests.store.hands import (
    ERROR,
    FATAL,
    OK,
    SettableClock,
    Worker,
    a_job_in,
    nothing_changed,
    put,
    put_many,
    settled,
    state,
    story,
    the,
)
from workhorse.domain.job import State
from workhorse.domain.outcome import AttemptOutcome, Cancelled, Released, Snoozed
from workhorse.domain.retry import Backoff
from workhorse.store.protocol import Retention, Store
from workhorse.store.verbs import edges


def test_a_job_waits_for_all_it_comes_after(store: Store) -> None:
    """It is available when the last of them has succeeded, in the same transaction; not before."""
    first, second = put_many(store, 2)
    job_id = put(store, after=[first, second, first])
    assert (state(store, job_id), set(the(store, job_id).waits_for)) == (
        State.BLOCKED,
        {first, second},
    )
    worker = Worker(store)
    assert worker.run(OK).id == first
    assert (state(store, job_id), the(store, job_id).waits_for) == (State.BLOCKED, [second])
    assert worker.run(OK).id == second
    assert (state(store, job_id), the(store, job_id).waits_for) == (State.AVAILABLE, [])
    assert story(store, job_id) == ["enqueue", "unblock"]
    assert worker.run(OK).id == job_id


@pytest.mark.parametrize("ends", [OK, ERROR, Released("drained"), Snoozed(0)])
def test_only_success_lets_others_go(store: Store, ends: AttemptOutcome) -> None:
    """An attempt that does not end its job moves nobody who waits for it."""
    first = put(store)
    job_id = put(store, after=[first])
    Worker(store).run(ends)
    assert state(store, job_id) is (State.AVAILABLE if ends is OK else State.BLOCKED)


@pytest.mark.parametrize(("ends", "verb"), [(FATAL, "failed"), (Cancelled(), "cancelled")])
def test_what_waits_for_a_job_that_did_not_succeed(
    store: Store, ends: AttemptOutcome, verb: str
) -> None:
    """It is cancelled with it, near and far, and says why."""
    first, other = put_many(store, 2)
    near = put(store, after=[other, first])
    far = put(store, after=[near])
    worker = Worker(store)
    assert worker.run(ends).id == first
    assert [state(store, id) for id in (near, far)] == [State.CANCELLED] * 2
    error = the(store, near).error
    assert error is not None
    assert error["message"] == f"job {first} {verb}"
    assert story(store, far) == ["enqueue", "cancel"]
    worker.run(OK)
    assert state(store, near) is State.CANCELLED


def test_each_that_is_cancelled_names_what_it_waited_for(store: Store) -> None:
    """However wide and deep the graph: one of those that ended just before, the oldest of them."""
    first = put(store)
    near = put_many(store, 3, after=[first])
    far = [put(store, after=[job]) for job in near]
    both, late = put(store, after=near[1:]), put(store, after=[near[2], far[0]])
    last = put(store, after=[far[1], late])
    Worker(store).run(FATAL)
    causes = dict.fromkeys(near, f"{first} failed")
    causes |= {job: f"{cause} cancelled" for job, cause in zip(far, near, strict=True)}
    causes |= {both: f"{near[1]} cancelled", late: f"{near[2]} cancelled"}
    causes[last] = f"{far[1]} cancelled"
    for job, cause in causes.items():
        assert (the(store, job).error or {})["message"] == f"job {cause}"
        assert store.events(job_id=job)[-1].data == {
            "outcome": "cancelled",
            "reason": f"job {cause}",
        }


def test_many_cancelled_at_once_are_all_told(store: Store) -> None:
    """By hand as well: whatever waited for it says so, near and far."""
    first = put(store)
    near = put_many(store, 3, after=[first])
    far = [put(store, after=[job]) for job in near]
    store.cancel(first, reason="enough")
    told = [(the(store, job).error or {})["message"] for job in (first, *near, *far)]
    assert told == [
        "enough",
        *[f"job {first} cancelled"] * 3,
        *[f"job {job} cancelled" for job in near],
    ]


def test_a_job_lost_too_often_takes_its_dependents_along(store: Store) -> None:
    """A rescue that fails a job ends those that wait for it, too."""
    first = put(store)
    job_id = put(store, after=[first])
    while state(store, first) is not State.FAILED:
        worker = Worker(store)
        assert store.claim_job(worker.id, first) is not None
        store.rescue(worker.id, reason="gone", expired_only=False)
    assert (state(store, job_id), the(store, first).lost) == (State.CANCELLED, 10)


def test_a_job_after_one_that_has_succeeded(store: Store) -> None:
    """A dependency that is satisfied already blocks nothing."""
    done = a_job_in(State.SUCCEEDED, store)
    assert state(store, put(store, after=[done])) is State.AVAILABLE
    assert state(store, put(store, after=[done], delay=5)) is State.SCHEDULED
    waiting = put(store)
    assert the(store, put(store, after=[done, waiting])).waits_for == [waiting]


def test_a_delay_counts_beside_a_dependency(store: Store, clock: SettableClock) -> None:
    """Both must be over; a sweep lets the job go when the delay was the longer of the two."""
    first = put(store)
    job_id = put(store, after=[first], delay=60)
    Worker(store).run(OK)
    assert (state(store, job_id), the(store, job_id).waits_for) == (State.BLOCKED, [])
    assert (store.sweep(), state(store, job_id)) == (0, State.BLOCKED)
    clock.advance(60)
    assert (store.sweep(), state(store, job_id)) == (1, State.AVAILABLE)
    assert story(store, job_id) == ["enqueue", "unblock"]


def test_many_wait_for_one(store: Store) -> None:
    """However many there are, all of them go when it has succeeded."""
    first = put(store)
    waiting = put_many(store, 1500, after=[first])
    Worker(store).run(OK)
    assert {state(store, id) for id in waiting} == {State.AVAILABLE}


def test_one_turn_ends_several_dependencies(store: Store) -> None:
    """Good and bad ends in one turn: each dependent takes the one edge that is its own."""
    good, bad, slow = put_many(store, 3, backoff=Backoff(base=5, jitter=0))
    after_good, after_bad = put(store, after=[good]), put(store, after=[bad])
    after_both, after_slow = put(store, after=[good, bad]), put(store, after=[slow, good])
    worker = Worker(store)
    first, second, third = worker.claim()
    worker.turn([settled(first, OK), settled(second, FATAL), settled(third, ERROR)])
    assert [state(store, id) for id in (after_good, after_bad, after_both, after_slow)] == [
        State.AVAILABLE,
        State.CANCELLED,
        State.CANCELLED,
        State.BLOCKED,
    ]
    assert the(store, after_slow).waits_for == [slow]


def test_a_requeued_job_waits_for_nothing(store: Store) -> None:
    """Cancelled because another failed, then requeued by an operator: it is available."""
    first = put(store)
    job_id = put(store, after=[first])
    Worker(store).run(FATAL)
    store.requeue(job_id)
    assert (state(store, job_id), the(store, job_id).waits_for) == (State.AVAILABLE, [])


def test_a_sweep_has_nothing_to_repair(store: Store) -> None:
    """Where every end was seen, a sweep changes nothing."""
    first = put(store)
    put(store, after=[first])
    with nothing_changed(store):
        assert store.sweep() == 0


def test_what_waits_for_one_that_is_gone_is_cancelled(
    store: Store, backend: Backend, url: str
) -> None:
    """A row that somebody has deleted by hand will never succeed: a sweep says so to who waits."""
    first = put(store)
    near = put(store, after=[first])
    far = put(store, after=[near])
    with backend.connect(url) as raw:
        raw.execute(f"delete from {backend.jobs} where id = {first}")
        raw.commit()
    assert store.sweep() == 2
    assert [state(store, id) for id in (near, far)] == [State.CANCELLED] * 2
    assert (the(store, near).error or {})["message"] == f"job {first} is gone"
    with nothing_changed(store):
        assert store.sweep() == 0


@pytest.mark.parametrize("forgotten", ["pruned", "deleted"])
def test_a_dependency_may_be_forgotten_once_it_is_satisfied(
    store: Store, clock: SettableClock, forgotten: str
) -> None:
    """What has succeeded may be pruned or deleted while others it let go still wait elsewhere."""
    first, second = put_many(store, 2)
    job_id = put(store, after=[first, second])
    worker = Worker(store)
    worker.run(OK)
    clock.advance(10)
    if forgotten == "pruned":
        assert store.prune(Retention(succeeded=1)) == 1
    else:
        store.delete(first)
    assert store.sweep() == 0
    worker.run(OK)
    assert state(store, job_id) is State.AVAILABLE


@pytest.fixture
def portion(monkeypatch: pytest.MonkeyPatch) -> int:
    """How many waits end in one transaction: few."""
    monkeypatch.setattr(edges, "PORTION", 10)
    monkeypatch.setattr(edges, "STEPS", 5)
    return 10


def in_state(store: Store, wanted: State) -> int:
    return store.counts()[wanted]


def swept(store: Store) -> list[int]:
    """Sweep until nothing is left, and return what each sweep has done."""
    return list(iter(store.sweep, 0))


def test_of_very_many_a_turn_lets_a_portion_go(store: Store, portion: int) -> None:
    """It says so, and sweeps go on with the rest, each with as many."""
    first, other = put_many(store, 2)
    waiting = put_many(store, 35, after=[first])
    both = put(store, after=[first, other])
    worker = Worker(store)
    turn = store.turn(worker.id, [settled(worker.take(), OK)], [], None)
    assert turn.unswept
    assert in_state(store, State.BLOCKED) == 36 - portion
    assert swept(store) == [10, 10, 6]
    assert {state(store, id) for id in waiting} == {State.AVAILABLE}
    assert {tuple(story(store, id)) for id in waiting} == {("enqueue", "unblock")}
    assert (state(store, both), the(store, both).waits_for) == (State.BLOCKED, [other])
    turn = store.turn(worker.id, [settled(worker.take(), OK)], [], None)
    assert not turn.unswept
    assert state(store, both) is State.AVAILABLE


def test_of_very_many_a_turn_cancels_a_portion(store: Store, portion: int) -> None:
    """The rest goes with the sweeps, and says why as well."""
    first = put(store)
    waiting = put_many(store, 35, after=[first])
    worker = Worker(store)
    turn = store.turn(worker.id, [settled(worker.take(), FATAL)], [], None)
    assert turn.unswept
    assert in_state(store, State.CANCELLED) == portion
    assert swept(store) == [10, 10, 5]
    assert {(the(store, id).error or {})["message"] for id in waiting} == {f"job {first} failed"}


def test_a_long_chain_is_cancelled_link_by_link(store: Store, portion: int) -> None:
    """A few of them with the first, the rest by sweeps: each says which one took it along."""
    chain = [put(store)]
    for _ in range(23):
        chain.append(put(store, after=chain[-1:]))
    worker = Worker(store)
    turn = store.turn(worker.id, [settled(worker.take(), FATAL)], [], None)
    assert turn.unswept
    assert in_state(store, State.BLOCKED) == 18
    assert swept(store) == [5, 5, 5, 3]
    told = [(the(store, id).error or {})["message"] for id in chain[2:]]
    assert told == [f"job {id} cancelled" for id in chain[1:-1]]


def test_a_cancel_goes_on_with_all_who_wait(store: Store, portion: int) -> None:
    """However many there are, it returns when they are cancelled, or after a few seconds."""
    first = put(store)
    waiting = put_many(store, 35, after=[first])
    assert store.cancel(first) is State.CANCELLED
    assert {state(store, id) for id in waiting} == {State.CANCELLED}
    assert store.sweep() == 0


def test_who_is_left_to_a_sweep_does_not_lose_what_it_waited_for(
    store: Store, portion: int
) -> None:
    """What has succeeded may be deleted before all who waited were let go: it has succeeded."""
    first = put(store)
    waiting = put_many(store, 15, after=[first])
    worker = Worker(store)
    worker.run(OK)
    store.delete(first)
    assert swept(store) == [5]
    assert {state(store, id) for id in waiting} == {State.AVAILABLE}
