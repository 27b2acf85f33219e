"""An idempotency key makes one job for as long as that job is kept, whoever asks, however often."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import pytest

from tests.store.backends import Backend
from tests.store.hands import (
    NOBODY,
    OK,
    SettableClock,
    Worker,
    a_job,
    a_job_in,
    nothing_changed,
    put,
    state,
    the,
)
from workhorse.domain.errors import InvalidJob, NotFound, WorkhorseError
from workhorse.domain.job import FINAL, Enqueued, NewJob, State
from workhorse.store.protocol import JobFilter, Retention, Store


def ask(store: Store, key: str = "k", **facts: Any) -> Enqueued:
    """Enqueue one job with an idempotency key."""
    (answer,) = store.enqueue([a_job(idempotency_key=key, **facts)])
    return answer


@pytest.fixture
def connection(store: Store, backend: Backend, url: str) -> Iterator[Any]:
    """A caller's connection."""
    with backend.connect(url) as connection:
        yield connection


# ── one key, one job ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("stands", State)
def test_the_second_gets_the_first(store: Store, stands: State) -> None:
    """Wherever the job stands, finished or not: its id, its state, and nothing is stored."""
    job_id = a_job_in(stands, store, idempotency_key="k")
    with nothing_changed(store):
        assert ask(store) == (job_id, stands, True)


@pytest.mark.parametrize("stands", State)
def test_a_job_tells_its_keys(store: Store, stands: State) -> None:
    """The one that has made it and those answered with it, by id or in a list, ended or not."""
    plain = put(store, delay=60)
    job_id = a_job_in(stands, store, idempotency_key="k", unique="u")
    keys = ["k"]
    if stands not in FINAL:
        assert ask(store, "j", unique="u") == (job_id, stands, True)
        keys = ["j", "k"]
    assert the(store, job_id).idempotency_keys == keys
    for where in (JobFilter(), JobFilter(states=[stands])):
        listed = {job.id: job.idempotency_keys for job in store.list_jobs(where)}
        assert listed[job_id] == keys
        assert listed.get(plain, []) == []


def test_other_keys_and_jobs_without_one(store: Store) -> None:
    """Each other key, also one that differs in its case alone, makes a job of its own."""
    answers = [ask(store, key) for key in ("k", "K", "k ", "ключ", "x" * 255)]
    answers += store.enqueue([a_job(), a_job()])
    assert not any(answer.existing for answer in answers)
    assert len({answer.id for answer in answers}) == len(answers)


@pytest.mark.parametrize(
    "other",
    [
        {"queue": "elsewhere", "args": '{"n":1}', "priority": 5, "delay": 60},
        {"after": [NOBODY]},
        {"max_attempts": 0},
    ],
)
def test_whatever_else_is_asked_for(store: Store, other: dict[str, Any]) -> None:
    """The key alone decides: what the first one asked for holds, also if it were refused now."""
    first = ask(store, args="{}")
    with nothing_changed(store):
        assert ask(store, **other) == (first.id, State.AVAILABLE, True)


def test_a_dependency_that_has_failed_meanwhile(store: Store) -> None:
    """A first answer that was lost is given again, though the same job would be refused by now."""
    awaited = put(store, queue="here")
    first = ask(store, after=[awaited])
    store.cancel(awaited)
    assert ask(store, after=[awaited]) == (first.id, State.CANCELLED, True)


def test_a_key_twice_in_one_call(store: Store) -> None:
    """The first one is stored, the others get its id; the answers are in their order."""
    keys = ["a", None, "b", "a", None, "b", "c"]
    answers = store.enqueue([a_job(idempotency_key=key) for key in keys])
    assert [answer.existing for answer in answers] == [False] * 3 + [True, False, True, False]
    assert [answers[3].id, answers[5].id] == [answers[0].id, answers[2].id]
    assert len(store.list_jobs(JobFilter())) == 5


def test_jobs_with_keys_keep_their_order(store: Store) -> None:
    """They are claimed in the order of the call, with and without keys."""
    keys = ["z", None, "a", None, "m", "b"]
    answers = store.enqueue([a_job(idempotency_key=key) for key in keys])
    assert [job.id for job in Worker(store).claim()] == [answer.id for answer in answers]


# ── beside unique keys ──────────────────────────────────────────────────────────────────────


def test_it_is_no_unique_key(store: Store) -> None:
    """The same text as a unique key is another key."""
    unique = put(store, unique="k")
    answer = ask(store)
    assert not answer.existing
    assert put(store, unique="k") == unique != answer.id


def test_both_keys_free(store: Store) -> None:
    """One job takes both, and each finds it; its end lets go of the unique one alone."""
    answer = ask(store, unique="u", queue="here")
    assert not answer.existing
    assert (put(store, unique="u"), ask(store).id) == (answer.id, answer.id)
    Worker(store, queues=["here"]).run(OK)
    assert put(store, unique="u") != answer.id
    assert ask(store) == (answer.id, State.SUCCEEDED, True)


def test_an_answer_with_the_holder_of_a_unique_key(store: Store) -> None:
    """The key is answered with that job from then on, also when it has ended: no second answer."""
    holder = put(store, unique="u", queue="here")
    assert ask(store, unique="u") == (holder, State.AVAILABLE, True)
    assert ask(store, "another", unique="u").id == holder
    Worker(store, queues=["here"]).run(OK)
    for key in ("k", "another"):
        assert ask(store, key, unique="u") == (holder, State.SUCCEEDED, True)
    store.delete(holder)
    assert not ask(store, unique="u").existing


# ── as long as the job is kept ──────────────────────────────────────────────────────────────


@pytest.mark.parametrize("ended", FINAL)
def test_a_key_goes_with_its_job(store: Store, clock: SettableClock, ended: State) -> None:
    """Deleted or pruned, the key may make another job; keys of other jobs stay."""
    other = ask(store, "other")
    deleted = a_job_in(ended, store, idempotency_key="deleted")
    pruned = a_job_in(ended, store, idempotency_key="pruned")
    store.delete(deleted)
    assert ask(store, "pruned").id == pruned
    clock.advance(100 * 86_400)
    assert store.prune(Retention()) == 1
    for key, was in (("deleted", deleted), ("pruned", pruned)):
        answer = ask(store, key)
        assert not answer.existing
        assert answer.id > was
    assert ask(store, "other") == (other.id, State.AVAILABLE, True)


@pytest.mark.parametrize("ended", [State.FAILED, State.CANCELLED])
def test_a_requeued_job_keeps_its_key(store: Store, ended: State) -> None:
    """It is the same job, in its second life as in its first."""
    job_id = a_job_in(ended, store, idempotency_key="k")
    store.requeue(job_id)
    assert ask(store) == (job_id, State.AVAILABLE, True)
    Worker(store, queues=[f"to-{ended}"]).run(OK)
    assert ask(store) == (job_id, State.SUCCEEDED, True)


def test_a_call_that_is_refused_takes_no_key(store: Store) -> None:
    """All or none: the key of a job that was not stored is free."""
    refused: list[tuple[NewJob, type[WorkhorseError]]] = [
        (a_job(after=[NOBODY], idempotency_key="k"), NotFound),
        (a_job(max_attempts=0, idempotency_key="k"), InvalidJob),
        (a_job(after=[NOBODY]), NotFound),
    ]
    for bad, error in refused:
        with nothing_changed(store), pytest.raises(error):
            store.enqueue([a_job(idempotency_key="before"), bad])
    assert not ask(store).existing
    assert not ask(store, "before").existing


# ── at the same time ────────────────────────────────────────────────────────────────────────


def test_a_race_for_a_key_has_one_winner(store: Store, other: Store) -> None:
    """Sixty-four at once, round after round: one job is stored, and all are told its id."""

    def race(turn: tuple[Store, str]) -> Enqueued:
        where, key = turn
        return ask(where, key)

    with ThreadPoolExecutor(64) as pool:
        for number in range(10):
            asked = [(where, f"round {number}") for where in (store, other) * 32]
            answers = list(pool.map(race, asked))
            assert len({answer.id for answer in answers}) == 1
            assert sorted(answer.existing for answer in answers) == [False] + [True] * 63
    assert len(store.list_jobs(JobFilter())) == 10
    assert len(store.events()) == 10


def test_many_keys_in_one_call_each(store: Store, other: Store) -> None:
    """Calls with the same keys in opposite orders, who would wait for each other, all succeed."""
    keys = [f"key {number}" for number in range(30)]

    def race(turn: tuple[Store, list[str]]) -> dict[str, int]:
        where, order = turn
        answers = where.enqueue([a_job(idempotency_key=key) for key in order])
        return {key: answer.id for key, answer in zip(order, answers, strict=True)}

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(race, [(store, keys), (other, keys[::-1])])
    assert first == second
    assert len(store.list_jobs(JobFilter())) == len(keys)


def test_a_race_with_the_end_of_the_job(store: Store, other: Store) -> None:
    """While its job is deleted, a key gives that job or a new one, never one that is not there."""

    def remove(job_id: int) -> None:
        other.delete(job_id)

    with ThreadPoolExecutor(9) as pool:
        for _ in range(10):
            job_id = a_job_in(State.CANCELLED, store, idempotency_key="k")
            removed = pool.submit(remove, job_id)
            answers = list(pool.map(lambda _: ask(store), range(8)))
            removed.result()
            assert len({answer.id for answer in answers} - {job_id}) <= 1
            last = ask(store)
            assert last.id != job_id
            assert state(store, last.id) is State.AVAILABLE
            store.cancel(last.id)
            store.delete(last.id)


# ── in the caller's own transaction ─────────────────────────────────────────────────────────


def commit(connection: Any) -> None:
    connection.commit()


def rollback(connection: Any) -> None:
    connection.rollback()


@pytest.mark.parametrize("ending", [commit, rollback])
def test_the_first_is_not_certain_yet(
    store: Store, connection: Any, ending: Callable[[Any], None]
) -> None:
    """Who asks meanwhile waits: committed, it is the job; rolled back, the second one makes it."""
    (first,) = store.enqueue_with(connection, [a_job(args="1", idempotency_key="k")])
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(ask, store, args="2")
        assert not wait([second], timeout=0.2).done
        ending(connection)
        answer = second.result(timeout=30)
    assert answer.existing == (ending is commit)
    assert the(store, answer.id).args == ("1" if ending is commit else "2")
    assert (answer.id == first.id) or not answer.existing
    assert len(store.list_jobs(JobFilter())) == 1


def test_a_rollback_lets_the_key_go(store: Store, connection: Any) -> None:
    """Also the key that was answered with a job that is there."""
    holder = put(store, unique="u")
    asked = [a_job(idempotency_key="k"), a_job(unique="u", idempotency_key="l")]
    with nothing_changed(store):
        first, second = store.enqueue_with(connection, asked)
        assert (first.existing, second) == (False, (holder, State.AVAILABLE, True))
        connection.rollback()
    assert not ask(store, "l").existing
    assert not ask(store, "k").existing


def test_twice_in_one_transaction(store: Store, connection: Any) -> None:
    """The caller's own uncommitted job counts; a call that is refused in between does not."""
    (first,) = store.enqueue_with(connection, [a_job(idempotency_key="k")])
    with pytest.raises(NotFound):
        store.enqueue_with(connection, [a_job(idempotency_key="l"), a_job(after=[NOBODY])])
    (second,) = store.enqueue_with(connection, [a_job(idempotency_key="k")])
    (third,) = store.enqueue_with(connection, [a_job(idempotency_key="l")])
    connection.commit()
    assert second == (first.id, State.AVAILABLE, True)
    assert not third.existing
    assert ask(store) == second
