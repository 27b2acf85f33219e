"""A store is copied whole into another of any kind, and life goes on there."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from tests.services.fixtures import on_one_server
from tests.services.postgres import Database
from tests.store.backends import Backend, OnCluster, Sqlite
from tests.store.hands import (
    ALL,
    ERROR,
    OK,
    SettableClock,
    Worker,
    a_job,
    a_job_in,
    everything,
    nothing_changed,
    put,
    put_many,
    settled,
    state,
    the,
)
from workhorse.domain.errors import Conflict
from workhorse.domain.events import Output, OutputLine
from workhorse.domain.job import Enqueued, State
from workhorse.domain.outcome import Completed, Released
from workhorse.store.opening import open_store
from workhorse.store.protocol import JobFilter, Retention, Store
from workhorse.store.verbs import retention
from workhorse.store.verbs.copying import copy

SWALLOW = {
    "sqlite": [
        """create trigger greedy before insert on events when new.seq = 7
           begin select raise(ignore); end"""
    ],
    "postgres": [
        """create function swallow() returns trigger language plpgsql as
           'begin return null; end'""",
        """create trigger greedy before insert on workhorse.events for each row
           when (new.seq = 7) execute function swallow()""",
    ],
}
"""Has a store lose its seventh event."""
SQLITE = Sqlite()
PG15 = OnCluster("pg15", "15")
PG18 = OnCluster("pg18", "18")
POOLED = OnCluster("pgbouncer", "15", pooled=True)
Pair = tuple[Backend | OnCluster, Backend | OnCluster]


def a_pair(source: Backend | OnCluster, target: Backend | OnCluster, *needed: str) -> Any:
    marks = [pytest.mark.needs(service) for service in needed]
    return pytest.param((source, target), id=f"{source.name}-to-{target.name}", marks=marks)


@pytest.fixture(
    params=[
        a_pair(SQLITE, PG18, "pg18"),
        a_pair(PG15, SQLITE, "pg15"),
        a_pair(SQLITE, POOLED, "pg15", "pgbouncer"),
        a_pair(POOLED, PG18, "pg15", "pgbouncer", "pg18"),
    ]
)
def pair(request: pytest.FixtureRequest) -> Pair:
    """From what kind of store to what other: each kind is each."""
    pair: Pair = request.param
    return pair


def made(kind: Backend | OnCluster, request: pytest.FixtureRequest) -> Backend:
    return kind(request.getfixturevalue("clusters")) if isinstance(kind, OnCluster) else kind


@pytest.fixture
def backend(pair: Pair, request: pytest.FixtureRequest) -> Backend:
    """The kind of the source."""
    return made(pair[0], request)


@pytest.fixture
def kind_of_target(pair: Pair, request: pytest.FixtureRequest) -> Backend:
    return made(pair[1], request)


@pytest.fixture
def url_of_target(kind_of_target: Backend, tmp_path: Path) -> Iterator[str]:
    folder = tmp_path / "target"
    folder.mkdir()
    with kind_of_target.place(folder) as url:
        yield url


@pytest.fixture
def target(kind_of_target: Backend, url_of_target: str, clock: SettableClock) -> Iterator[Store]:
    """The empty store that is copied into."""
    with (
        kind_of_target.follow(url_of_target, clock),
        closing(kind_of_target.open(url_of_target, clock)) as target,
    ):
        yield target


def fill(store: Store, clock: SettableClock) -> None:
    """Let a store have some of everything, and no worker at work."""
    for wanted in State:
        a_job_in(wanted, store, args='{"text":"žluťoučký\\tkůň \\"\\u0000\\""}', priority=-7)
        a_job_in(wanted, store, unique=f"u-{wanted}", idempotency_key=f"k-{wanted}")
        clock.advance(0.001)
    put_many(store, 10, queue="later", delay=3600.5)
    worker = Worker(store, kinds=["work", "other"])
    put_many(store, 4, timeout=0.1, max_attempts=7)
    jobs = worker.claim()
    line = OutputLine(jobs[0].id, 1, Output.PROGRESS, '{"percent":40,"message":"half\\nway"}')
    worker.turn([settled(jobs[1], ERROR)], [line])
    worker.settle(jobs[2], Released("a suspect", solo=True))
    worker.settle(jobs[3], Completed('{"answer":[1.5,null,true]}'))
    store.cancel(jobs[0].id)
    store.pause("later")
    store.retire(Worker(store).id)
    store.rescue(Worker(store).id, reason="gone", expired_only=False)
    store.delete(a_job_in(State.FAILED, store))
    clock.advance(60)


def test_a_copy_is_the_same(store: Store, target: Store, clock: SettableClock) -> None:
    """Every job, attempt, event, worker and pause, as it was, in its order; counted in both."""
    fill(store, clock)
    with nothing_changed(store):
        counts = copy(store, target)
    assert everything(target) == everything(store)
    jobs = {str(name): number for name, number in store.counts().items()}
    assert counts.items() >= jobs.items() == target.counts().items()
    assert counts["events"] == len(target.events(limit=ALL))
    assert counts["idempotency keys"] == len(State)
    assert all(counts.values())


def test_an_empty_store_is_copied(store: Store, target: Store) -> None:
    """There is nothing to it; what comes then begins as in any new store."""
    assert not any(copy(store, target).values())
    assert put(target) == 1


def test_copied_back_it_is_the_same(
    store: Store, target: Store, clock: SettableClock, backend: Backend, tmp_path: Path
) -> None:
    """From one kind of store to another and back nothing is lost on the way."""
    fill(store, clock)
    copy(store, target)
    (tmp_path / "back").mkdir()
    with (
        backend.place(tmp_path / "back") as url,
        backend.follow(url, clock),
        closing(backend.open(url, clock)) as back,
    ):
        copy(target, back)
        assert everything(back) == everything(store)


# ── life goes on ────────────────────────────────────────────────────────────────────────────


def test_numbers_go_on(store: Store, target: Store) -> None:
    """No id and no number of an event is given twice, also not that of a job that is gone."""
    last, newest = put(store), Worker(store)
    store.retire(newest.id)
    store.cancel(last)
    store.delete(last)
    seen = store.events(limit=ALL)[-1].seq
    copy(store, target)
    assert put(target) > last
    assert Worker(target).id > newest.id
    assert [event.seq for event in target.events(after=seen)] == [seen + 1, seen + 2]


def test_keys_are_held(store: Store, target: Store) -> None:
    """Unique keys by unfinished jobs, idempotency keys by every job that is kept."""
    holder = put(store, unique="u")
    ended = a_job_in(State.CANCELLED, store, unique="free", idempotency_key="k")
    store.retire(1)
    copy(store, target)
    answers = target.enqueue([a_job(unique="u"), a_job(idempotency_key="k"), a_job(unique="free")])
    assert answers[0] == (holder, State.AVAILABLE, True)
    assert answers[1] == (ended, State.CANCELLED, True)
    assert not answers[2].existing


def test_dependencies_hold(store: Store, target: Store) -> None:
    """A job that waits is let go by the one it waits for, and cancelled with it."""
    first, second = put_many(store, 2)
    after_first, after_second = put(store, after=[first]), put(store, after=[first, second])
    copy(store, target)
    Worker(target).run(OK)
    assert state(target, after_first) is State.AVAILABLE
    assert list(the(target, after_second).waits_for) == [second]
    target.cancel(second)
    assert state(target, after_second) is State.CANCELLED


def test_what_was_being_forgotten_is_forgotten(
    store: Store, target: Store, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left in the record of a job that is gone goes in the copy, too."""
    monkeypatch.setattr(retention, "EVENTS_AT_ONCE", 2)
    gone = a_job_in(State.SUCCEEDED, store)
    store.delete(gone)
    clock.advance(60)
    assert copy(store, target)["forgotten jobs"] == 1
    assert len(target.events(job_id=gone)) > 2
    while target.prune(Retention()):
        pass
    assert target.events(job_id=gone) == []


def test_what_ran_on_a_dead_worker_is_rescued(
    store: Store, target: Store, clock: SettableClock
) -> None:
    """It is still running in the copy, until the first worker there gives it back and runs it."""
    job_id = put(store)
    dead = Worker(store, lease=10)
    late = dead.take()
    clock.advance(10)
    copy(store, target)
    assert state(target, job_id) is State.RUNNING
    assert list(target.look().expired) == [dead.id]
    dead.store = target
    assert target.rescue(dead.id, reason="gone") == 1
    assert Worker(target).run(OK).attempt == 2
    assert dead.settle(late, OK) == [(job_id, 1)]


def test_no_clock_is_compared_with_another(target: Store, backend: Backend, tmp_path: Path) -> None:
    """A lease that has run out there has run out here, though the clock here is an hour behind."""
    ahead = SettableClock()
    ahead.advance(3600)
    with (
        backend.place(tmp_path) as url,
        backend.follow(url, ahead),
        closing(backend.open(url, ahead)) as store,
    ):
        put(store)
        dead = Worker(store, lease=10)
        dead.take()
        ahead.advance(10)
        copy(store, target)
    assert list(target.look().expired) == [dead.id]


def test_the_record_is_cut_where_it_was(store: Store, target: Store, clock: SettableClock) -> None:
    """What retention may drop, and what not, is the same afterwards."""
    store.pause("q")
    clock.advance(100 * 86_400)
    store.prune(Retention())
    store.resume("q")
    copy(store, target)
    target.prune(Retention())
    assert [event.name for event in target.events()] == ["queue_resumed"]


# ── what is refused ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("is_draining", [False, True])
def test_a_worker_at_work_stops_it(
    store: Store, target: Store, clock: SettableClock, is_draining: bool
) -> None:
    """Its jobs would be run twice: `Conflict` names it, until it has stopped or is dead."""
    put(store)
    worker = Worker(store, lease=10, host="build-7")
    if is_draining:
        store.draining(worker.id)
    with (
        nothing_changed(store),
        nothing_changed(target),
        pytest.raises(Conflict, match="build-7") as refused,
    ):
        copy(store, target)
    assert "Stop every worker" in str(refused.value)
    clock.advance(10)
    assert copy(store, target)["workers"] == 1


@pytest.mark.parametrize("content", ["job", "finished job", "pause", "worker", "event"])
def test_a_target_that_has_something_is_refused(
    store: Store, target: Store, clock: SettableClock, content: str
) -> None:
    """Also when all it has is a pause, or a line in the record: it stays as it is."""
    match content:
        case "job":
            put(target)
        case "finished job":
            a_job_in(State.CANCELLED, target)
        case "pause":
            target.pause("q")
        case "worker":
            target.retire(Worker(target).id)
        case "event":
            target.pause("q")
            target.resume("q")
    put(store)
    clock.advance(60)
    with nothing_changed(target), pytest.raises(Conflict, match="not empty"):
        copy(store, target)


def test_a_store_is_not_copied_into_itself(store: Store, other: Store) -> None:
    """Two doors to one store are one store."""
    with nothing_changed(store), pytest.raises(Conflict, match="into itself"):
        copy(store, other)


# ── all or nothing ──────────────────────────────────────────────────────────────────────────


def test_an_interrupted_copy_can_be_done_again(
    store: Store, target: Store, clock: SettableClock
) -> None:
    """However far it was: the target is as empty as before, and the next one has everything."""
    put_many(store, 2000)
    clock.advance(60)
    told = []

    def interrupt(done: int, total: int) -> None:
        told.append((done, total))
        if len(told) > 2:
            raise KeyboardInterrupt

    with nothing_changed(target), pytest.raises(KeyboardInterrupt):
        copy(store, target, interrupt)
    assert told == [(1000, 4000), (2000, 4000), (3000, 4000)]
    assert len(store.list_jobs(JobFilter(), limit=ALL)) == 2000
    copy(store, target)
    assert target.list_jobs(JobFilter(), limit=ALL) == store.list_jobs(JobFilter(), limit=ALL)
    assert target.events(limit=ALL) == store.events(limit=ALL)


def test_a_copy_that_does_not_agree_is_not_kept(
    store: Store, target: Store, kind_of_target: Backend, url_of_target: str
) -> None:
    """Something in the target swallows rows: found by counting, and nothing is left behind."""
    with kind_of_target.connect(url_of_target) as connection:
        for statement in SWALLOW["sqlite" if kind_of_target.name == "sqlite" else "postgres"]:
            connection.execute(statement)
        connection.commit()
    put_many(store, 10)
    with nothing_changed(target), pytest.raises(RuntimeError, match="'events': 9"):
        copy(store, target)


def test_nobody_writes_meanwhile(store: Store, other: Store, target: Store) -> None:
    """Who enqueues during the copy waits for its end: no job falls between the two."""
    put_many(store, 10)
    waiting: list[Future[list[Enqueued]]] = []
    with ThreadPoolExecutor(1) as pool:

        def enqueue_beside(done: int, total: int) -> None:
            waiting.append(pool.submit(other.enqueue, [a_job()]))
            assert not wait(waiting, timeout=0.2).done

        copy(store, target, enqueue_beside)
        (late,) = waiting
        assert not late.result(timeout=30)[0].existing
    assert len(store.list_jobs(JobFilter())) == 11
    assert len(target.list_jobs(JobFilter())) == 10


@on_one_server
def test_a_server_that_limits_transactions(database: Database) -> None:
    """A copy takes as long as it takes, where another's transaction is ended."""
    limit = SQL("alter database {} set transaction_timeout = '2s'")
    database.cluster.sql(limit.format(Identifier(database.name)))
    with closing(open_store(database.url)) as store, store.whole() as whole:
        with pytest.raises(psycopg.Error), psycopg.connect(database.url) as another:
            another.execute("select pg_sleep(60)")
        assert whole.value("copying.numbers") == 0
