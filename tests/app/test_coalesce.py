"""Concurrent `aenqueue` calls share a commit, and nothing else: not an error, not a loop."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, TypeAlias

import psycopg
import pytest

from tests.app.helpers import stored
from tests.services.fixtures import on_one_server
from tests.services.postgres import Database
from workhorse import Handle, Kind, NotFound, State, Unavailable, Workhorse
from workhorse.coalesce import MAX_BATCH
from workhorse.domain.job import NewJob

Noop: TypeAlias = Kind[..., None]


@pytest.fixture
def noop(app: Workhorse) -> Noop:
    @app.job(name="noop")
    def noop(number: int = 0) -> None:
        """Do nothing."""

    return noop


@contextmanager
def held(app: Workhorse) -> Iterator[None]:
    """Hold the database's write lock from outside: whoever wants to write waits."""
    _ = app.store
    other = sqlite3.connect(app.url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("begin immediate")
    try:
        yield
    finally:
        other.execute("rollback")
        other.close()


@contextmanager
def counted(app: Workhorse) -> Iterator[list[int]]:
    """Count the jobs of each transaction that enqueues."""
    sizes: list[int] = []
    store: Any = app.store
    enqueue = store.enqueue

    def counting(jobs: Sequence[NewJob]) -> Any:
        sizes.append(len(jobs))
        return enqueue(jobs)

    store.enqueue = counting
    yield sizes
    del store.enqueue


async def in_flight(noop: Noop) -> asyncio.Task[Handle[None]]:
    """Start one enqueue, and see it off to the store's thread."""
    task = asyncio.create_task(noop.aenqueue(0))
    for _ in range(3):
        await asyncio.sleep(0)
    return task


def test_a_thousand_at_once_share_a_few_commits(app: Workhorse, noop: Noop) -> None:
    """Each caller gets its own job, in the order of the calls."""

    async def main() -> list[Handle[None]]:
        return await asyncio.gather(*(noop.aenqueue(number) for number in range(1000)))

    with counted(app) as sizes:
        handles = asyncio.run(main())
    assert sum(sizes) == 1000
    assert len(sizes) <= 3
    assert [handle.job.args for handle in handles[::333]] == [
        f'{{"number":{number}}}' for number in range(0, 1000, 333)
    ]
    assert [handle.id for handle in handles] == [job.id for job in stored(app)]


def test_one_alone_waits_for_nobody(app: Workhorse, noop: Noop) -> None:
    """There is no timer: one job after another, each in a transaction of its own."""

    async def main() -> None:
        for number in range(3):
            await noop.aenqueue(number)
        assert len(asyncio.all_tasks()) == 1, "when nothing is being enqueued, nothing runs"

    with counted(app) as sizes:
        asyncio.run(main())
    assert sizes == [1, 1, 1]


def test_what_comes_during_a_flush_goes_with_the_next(app: Workhorse, noop: Noop) -> None:
    """While the store is busy jobs collect; then they share one commit."""

    async def main() -> None:
        with held(app):
            first = await in_flight(noop)
            rest = [asyncio.create_task(noop.aenqueue(number)) for number in range(1, 50)]
            await asyncio.sleep(0)
            assert not first.done()
        await asyncio.gather(first, *rest)

    with counted(app) as sizes:
        asyncio.run(main())
    assert sizes == [1, 49]


def test_a_transaction_has_a_largest_size(app: Workhorse, noop: Noop) -> None:
    """A flood is stored in several transactions, so that other writers get their turn."""

    async def main() -> None:
        await asyncio.gather(*(noop.aenqueue(number) for number in range(MAX_BATCH + 3)))

    with counted(app) as sizes:
        asyncio.run(main())
    assert sizes == [MAX_BATCH, 3]


def test_a_bad_neighbour_does_no_harm(app: Workhorse, noop: Noop) -> None:
    """A job that is refused is refused alone; those beside it are stored."""

    async def main() -> list[Any]:
        calls = [
            noop.using(after=[10**9]).aenqueue(n) if n % 10 == 3 else noop.aenqueue(n)
            for n in range(30)
        ]
        return await asyncio.gather(*calls, return_exceptions=True)

    answers = asyncio.run(main())
    refused = [n for n, answer in enumerate(answers) if isinstance(answer, NotFound)]
    assert refused == [3, 13, 23]
    fine = [answer.id for answer in answers if isinstance(answer, Handle)]
    assert len(fine) == 27
    assert {job.id for job in stored(app)} == set(fine)


def test_a_neighbour_that_waits_for_another_is_stored_with_it(app: Workhorse, noop: Noop) -> None:
    """Dependencies on stored jobs hold in a shared transaction as they do alone."""
    first = noop.enqueue()

    async def main() -> list[Handle[None]]:
        kinds = (noop, noop.using(after=first), noop.using(unique="k"))
        return await asyncio.gather(*(kind.aenqueue() for kind in kinds))

    states = [handle.state for handle in asyncio.run(main())]
    assert states == [State.AVAILABLE, State.BLOCKED, State.AVAILABLE]


@on_one_server
def test_who_waits_for_anothers_transaction_holds_nobody_up(database: Database) -> None:
    """A unique key may be in a transaction still open: who wants it waits, those beside do not."""
    with closing(Workhorse(database.url)) as app, psycopg.connect(database.url) as other:
        noop = app.job(name="noop")(lambda: None)
        noop.using(session=other, unique="k").enqueue()

        async def main() -> None:
            waits = asyncio.create_task(noop.using(unique="k").aenqueue())
            beside = await noop.aenqueue()
            assert not waits.done()
            other.rollback()
            assert {beside.id, (await waits).id} == {job.id for job in stored(app)}

        asyncio.run(main())


def test_a_store_out_of_reach_is_told_to_everyone(app: Workhorse, noop: Noop) -> None:
    """Each waiting caller gets the error; when the store is back, the next call works."""

    async def main() -> list[Any]:
        app.store.close()
        calls = (noop.aenqueue(n) for n in range(5))
        answers = await asyncio.gather(*calls, return_exceptions=True)
        app.close()
        return [*answers, await noop.aenqueue()]

    *errors, handle = asyncio.run(main())
    assert [str(error) for error in errors] == ["The store is closed."] * 5
    assert [job.id for job in stored(app)] == [handle.id]


def test_a_cancelled_call_that_still_waits_stores_nothing(app: Workhorse, noop: Noop) -> None:
    """One that gave up before its flush leaves no job, and those beside it do not notice."""

    async def main() -> list[Any]:
        with held(app):
            first = await in_flight(noop)
            tasks = [asyncio.create_task(noop.aenqueue(number)) for number in range(1, 4)]
            await asyncio.sleep(0)
            tasks[1].cancel()
        return await asyncio.gather(first, *tasks, return_exceptions=True)

    answers = asyncio.run(main())
    assert isinstance(answers[2], asyncio.CancelledError)
    kept = [job.args for job in stored(app)]
    assert kept == ['{"number":0}', '{"number":1}', '{"number":3}']


def test_when_all_gave_up_the_next_call_works(app: Workhorse, noop: Noop) -> None:
    """A flush with nobody left to answer does not wedge what comes after."""

    async def main() -> None:
        with held(app):
            first = await in_flight(noop)
            second = asyncio.create_task(noop.aenqueue(1))
            await asyncio.sleep(0)
            first.cancel()
            second.cancel()
        gone = await asyncio.gather(first, second, return_exceptions=True)
        assert all(isinstance(error, asyncio.CancelledError) for error in gone)
        await noop.aenqueue(2)

    asyncio.run(main())
    assert '{"number":2}' in [job.args for job in stored(app)]
    assert '{"number":1}' not in [job.args for job in stored(app)]


def test_many_loops_share_one_app(app: Workhorse, noop: Noop) -> None:
    """Loops in threads of their own, at the same time: every job is stored once."""
    failed: list[BaseException] = []

    async def main() -> None:
        await asyncio.gather(*(noop.aenqueue(number) for number in range(50)))

    def run() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:  # noqa: BLE001 - shown below
            failed.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(stored(app)) == 200


def test_a_loop_is_forgotten_when_it_has_ended(noop: Noop) -> None:
    """An app that lives long keeps no loop that does not."""

    async def main() -> weakref.ref[asyncio.AbstractEventLoop]:
        await noop.aenqueue()
        return weakref.ref(asyncio.get_running_loop())

    loops = [asyncio.run(main()) for _ in range(3)]
    gc.collect()
    assert [loop() for loop in loops] == [None] * 3


def test_a_loop_may_end_while_jobs_are_on_their_way(app: Workhorse, noop: Noop) -> None:
    """Nothing hangs and nothing warns; another loop goes on as ever."""

    async def hurried() -> None:
        with held(app):
            await in_flight(noop)
            asyncio.create_task(noop.aenqueue(1)).add_done_callback(lambda task: task.cancelled())

    asyncio.run(hurried())

    async def calm() -> None:
        await noop.aenqueue(2)

    asyncio.run(calm())
    assert '{"number":2}' in [job.args for job in stored(app)]


def test_closing_stores_what_is_on_its_way_and_refuses_the_rest(app: Workhorse, noop: Noop) -> None:
    """Whoever still waits is told so, however many they are; the next call opens the app again."""

    async def main() -> list[Any]:
        with held(app):
            first = await in_flight(noop)
            rest = [asyncio.create_task(noop.aenqueue(n)) for n in range(1, MAX_BATCH + 10)]
            await asyncio.sleep(0)
        app.close()
        answers = await asyncio.gather(first, *rest, return_exceptions=True)
        return [*answers, await noop.aenqueue(10**6)]

    first, *rest, last = asyncio.run(main())
    assert isinstance(first, Handle)
    assert {type(answer) for answer in rest} == {Unavailable}
    assert "The app was closed" in str(rest[-1])
    assert [job.id for job in stored(app)] == [first.id, last.id]


def test_no_thread_can_be_had(noop: Noop, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the machine has no more: a store out of reach, to be tried again; then it works."""

    async def main() -> None:
        with monkeypatch.context() as full:
            full.setattr(threading.Thread, "start", no_more)
            with pytest.raises(Unavailable, match="No thread can be had for this: can't start"):
                await asyncio.wait_for(noop.aenqueue(), 10)
        assert (await noop.aenqueue()).state is State.AVAILABLE

    asyncio.run(main())


def no_more(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


LATE = """
import asyncio, sys, threading
from workhorse import ResultTimeout, Unavailable, Workhorse

app = Workhorse(sys.argv[1])
work = app.job(name="work")(lambda: None)
first = work.enqueue()

async def late():
    for awaited in (work.aenqueue(), app.aenqueue_many([work.bind()]), first.aresult()):
        try:
            await awaited
        except Unavailable as error:
            print(error)

def outlive():
    threading.main_thread().join()
    asyncio.run(late())
    work.enqueue()
    try:
        first.result(timeout=0)
    except ResultTimeout as error:
        print(error.message)

threading.Thread(target=outlive).start()
"""


def test_a_program_that_ends_begins_nothing_more(app: Workhorse) -> None:
    """A thread that outlives the main one is told why; what is not awaited still works there."""
    told = "The program is ending: nothing more of what is awaited is begun."
    done = subprocess.run(
        [sys.executable, "-c", LATE, app.url],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.splitlines() == [
        *[f"{told} `enqueue` and `result` still work."] * 3,
        "Job 1 is still available after 0 s.",
    ], done.stderr
    assert len(stored(app)) == 2
