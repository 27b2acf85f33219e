"""A unique key is held by one unfinished job at a time, in every state that is not final."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.store.hands import (
    ERROR,
    NOBODY,
    OK,
    SettableClock,
    Worker,
    a_job,
    a_job_in,
    nothing_changed,
    put,
    state,
)
from workhorse.domain.errors import Conflict, NotFound
from workhorse.domain.job import FINAL, UNFINISHED, State
from workhorse.domain.outcome import Released
from workhorse.store.protocol import JobFilter, Store


@pytest.mark.parametrize("held", UNFINISHED)
def test_a_key_is_held_until_the_end(store: Store, held: State) -> None:
    """A second enqueue gets the holder's id and state, and stores nothing."""
    holder = a_job_in(held, store, unique="k")
    with nothing_changed(store):
        (answer,) = store.enqueue([a_job(queue="other", unique="k")])
    assert answer == (holder, held, True)


@pytest.mark.parametrize("key", ["unique", "idempotency_key"])
def test_a_key_belongs_to_one_kind(store: Store, key: str) -> None:
    """Asked for by another kind it is a conflict that names both; none of the call is stored."""
    holder = put(store, **{key: "k"})
    with (
        nothing_changed(store),
        pytest.raises(Conflict, match=f"'k' belongs to job {holder}, .*'work', not 'other'"),
    ):
        store.enqueue([a_job(), a_job(kind="other", **{key: "k"}), a_job()])


def test_a_key_twice_in_one_call_by_two_kinds(store: Store) -> None:
    """The call is refused whole, and the keys are free after it."""
    for key in ("unique", "idempotency_key"):
        told = "'k' belongs to another job of this call, which is of kind 'work', not 'other'"
        with nothing_changed(store), pytest.raises(Conflict, match=told):
            store.enqueue([a_job(**{key: "k"}), a_job(kind="other", **{key: "k"})])
        put(store, kind="other", **{key: "k"})


@pytest.mark.parametrize("ended", FINAL)
def test_a_key_is_free_after_the_end(store: Store, ended: State) -> None:
    """Once its holder has ended, however, a key may be used again."""
    first = a_job_in(ended, store, unique="k")
    (answer,) = store.enqueue([a_job(unique="k")])
    assert not answer.existing
    assert answer.id != first


def test_a_key_twice_in_one_call(store: Store) -> None:
    """The first one is stored, the others get its id."""
    answers = store.enqueue([a_job(unique="k"), a_job(), a_job(unique="k"), a_job(unique="K")])
    assert [answer.existing for answer in answers] == [False, False, True, False]
    assert answers[2].id == answers[0].id
    assert len(store.list_jobs(JobFilter())) == 3


def test_a_key_is_kept_over_attempts(store: Store, clock: SettableClock) -> None:
    """From attempt to attempt the key is never let go, so no retry can find it taken."""
    holder = put(store, unique="k", max_attempts=2)
    worker = Worker(store, lease=600)
    for outcome in (Released("drained"), ERROR):
        worker.run(outcome)
        assert put(store, unique="k") == holder
    clock.advance(60)
    store.promote()
    worker.run(OK)
    assert put(store, unique="k") != holder


def test_a_call_that_is_refused_takes_no_key(store: Store) -> None:
    """The key of a job that was not stored, because another of its call was refused, is free."""
    with pytest.raises(NotFound):
        store.enqueue([a_job(unique="k"), a_job(after=[NOBODY])])
    assert not store.enqueue([a_job(unique="k")])[0].existing


def test_a_race_for_a_key_has_one_winner(store: Store, other: Store) -> None:
    """Sixteen at once, round after round: one job is stored, and all are told its id."""

    def ask(turn: tuple[Store, str]) -> tuple[int, bool]:
        where, key = turn
        (answer,) = where.enqueue([a_job(unique=key)])
        return answer.id, answer.existing

    with ThreadPoolExecutor(16) as pool:
        for number in range(20):
            asked = [(where, f"round {number}") for where in (store, other) * 8]
            answers = list(pool.map(ask, asked))
            assert len({job_id for job_id, _ in answers}) == 1
            assert sorted(existing for _, existing in answers) == [False] + [True] * 15
    assert len(store.list_jobs(JobFilter())) == 20


def test_a_storm_of_retries_never_trips_over_its_key(store: Store, clock: SettableClock) -> None:
    """Jobs with keys fail, are put off and come back, while others ask for the same keys."""
    keys = [f"key {number}" for number in range(10)]
    holders = [put(store, unique=key, max_attempts=100) for key in keys]
    worker = Worker(store, lease=10**6)
    for _ in range(5):
        for _ in keys:
            worker.run(ERROR)
        assert [put(store, unique=key) for key in keys] == holders
        clock.advance(86_400)
        assert store.promote().jobs == len(keys)
    assert {state(store, id) for id in holders} == {State.AVAILABLE}
