"""promote: scheduled → available, when the job is due."""

from __future__ import annotations

from tests.store.hands import (
    OK,
    SettableClock,
    Worker,
    nothing_changed,
    put,
    put_many,
    state,
    story,
)
from workhorse.domain.job import State
from workhorse.store.protocol import Store


def test_a_job_is_promoted_when_it_is_due(store: Store, clock: SettableClock) -> None:
    """At its instant, not a millisecond before; and its event is written."""
    job_id = put(store, delay=60)
    clock.advance(59.999)
    with nothing_changed(store):
        assert store.promote() == (0, 1)
    clock.advance(0.001)
    assert store.promote() == (1, None)
    assert state(store, job_id) is State.AVAILABLE
    assert story(store, job_id) == ["enqueue", "promote"]


def test_the_pass_tells_when_the_next_is_due(store: Store, clock: SettableClock) -> None:
    """How long until the first job still to come, so that nobody has to look before."""
    for delay in (30, 10, 20):
        put(store, delay=delay)
    assert store.promote() == (0, 10_000)
    clock.advance(20)
    assert store.promote() == (2, 10_000)
    clock.advance(10)
    assert store.promote() == (1, None)
    assert store.promote() == (0, None)


def test_a_job_that_waits_for_its_time_alone_is_let_go_then(
    store: Store, clock: SettableClock
) -> None:
    """One that was blocked as well: its time is told beforehand, and it starts when it has come."""
    first = put(store)
    job_id = put(store, after=[first], delay=60)
    assert store.promote() == (0, 60_000)
    Worker(store).run(OK)
    clock.advance(59.999)
    with nothing_changed(store):
        assert store.promote() == (0, 1)
    clock.advance(0.001)
    assert store.promote() == (1, None)
    assert state(store, job_id) is State.AVAILABLE
    assert story(store, job_id) == ["enqueue", "unblock"]


def test_a_job_whose_time_has_come_may_still_wait_for_another(
    store: Store, clock: SettableClock
) -> None:
    """It is looked at once, then goes with the end of what it waits for."""
    first = put(store)
    job_id = put(store, after=[first], delay=60)
    clock.advance(60)
    assert store.promote() == (0, None)
    with nothing_changed(store):
        assert store.promote() == (0, None)
    Worker(store).run(OK)
    assert state(store, job_id) is State.AVAILABLE
    assert story(store, job_id) == ["enqueue", "unblock"]


def test_many_that_still_wait_for_another_do_not_hide_one_that_is_due(
    store: Store, clock: SettableClock
) -> None:
    """They are looked at a pass at a time, the longest due first, and then no more."""
    first, other = put(store), put(store, kind="other")
    waiting = [put(store, after=[other], delay=1) for _ in range(3)]
    job_id = put(store, after=[first], delay=2)
    Worker(store, kinds=["work"]).run(OK)
    clock.advance(2)
    moved, due_in = store.promote(limit=3)
    assert (moved, due_in) == (0, 0)
    assert store.promote(limit=3) == (1, None)
    assert state(store, job_id) is State.AVAILABLE
    assert {state(store, id) for id in waiting} == {State.BLOCKED}


def test_a_pass_is_bounded(store: Store, clock: SettableClock) -> None:
    """At most `limit` jobs a pass, the longest due first; what is left is due at once."""
    late = put_many(store, 3, delay=2)
    early = put_many(store, 3, delay=1)
    clock.advance(5)
    promoted = store.promote(limit=4)
    assert promoted.jobs == 4
    assert promoted.due_in is not None
    assert promoted.due_in <= 0
    assert {state(store, id) for id in early} == {State.AVAILABLE}
    assert store.promote(limit=4) == (2, None)
    assert {state(store, id) for id in late} == {State.AVAILABLE}
