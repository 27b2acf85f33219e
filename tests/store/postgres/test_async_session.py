"""A transaction that belongs to an event loop: of asyncpg, psycopg, or SQLAlchemy on either."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, TypeVar

import asyncpg
import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from tests.services.postgres import Database
from tests.store.hands import NOBODY, OK, Worker, a_job, a_job_in, nothing_changed, put, story
from workhorse import Kind, Workhorse
from workhorse.domain.errors import InvalidJob, NotFound, Unavailable, WorkhorseError
from workhorse.domain.job import NewJob, State
from workhorse.store.protocol import JobFilter, Store

T = TypeVar("T")
Do: TypeAlias = Callable[[], Awaitable[Any]]


class Mine(NamedTuple):
    """A caller's session, and how its driver spells what callers do."""

    session: Any
    run: Callable[[str], Awaitable[Any]]
    commit: Do
    rollback: Do


Opened: TypeAlias = Callable[[str], AbstractAsyncContextManager[Mine]]


@asynccontextmanager
async def of_psycopg(url: str) -> AsyncIterator[Mine]:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        yield Mine(connection, connection.execute, connection.commit, connection.rollback)


@asynccontextmanager
async def of_asyncpg(url: str) -> AsyncIterator[Mine]:
    connection = await asyncpg.connect(url)
    try:
        yield await begun(connection)
    finally:
        await connection.close()


@asynccontextmanager
async def from_a_pool(url: str) -> AsyncIterator[Mine]:
    async with asyncpg.create_pool(url, min_size=1, max_size=1) as pool, pool.acquire() as lent:
        yield await begun(lent)


async def begun(connection: Any) -> Mine:
    transaction = connection.transaction()
    await transaction.start()
    return Mine(connection, connection.execute, transaction.commit, transaction.rollback)


def of_sqlalchemy(driver: str, *, orm: bool) -> Opened:
    @asynccontextmanager
    async def opened(url: str) -> AsyncIterator[Mine]:
        engine = create_async_engine(url.replace("postgresql:", f"postgresql+{driver}:"))
        try:
            async with AsyncSession(engine) if orm else engine.connect() as session:
                yield Mine(
                    session,
                    lambda sql: session.execute(text(sql)),
                    session.commit,
                    session.rollback,
                )
        finally:
            await engine.dispose()

    return opened


CALLERS = {
    "psycopg": of_psycopg,
    "asyncpg": of_asyncpg,
    "asyncpg-pool": from_a_pool,
    "orm-asyncpg": of_sqlalchemy("asyncpg", orm=True),
    "core-asyncpg": of_sqlalchemy("asyncpg", orm=False),
    "orm-psycopg": of_sqlalchemy("psycopg", orm=True),
}
DRIVERS = {name: CALLERS[name] for name in ("psycopg", "asyncpg")}

each_caller = pytest.mark.parametrize("caller", CALLERS.values(), ids=CALLERS)
each_driver = pytest.mark.parametrize("caller", DRIVERS.values(), ids=DRIVERS)


@pytest.fixture
def app(store: Store, database: Database) -> Iterator[Workhorse]:
    database.sql("create table orders (number integer)")
    with closing(Workhorse(database.url)) as app:
        yield app


@pytest.fixture
def ship(app: Workhorse) -> Kind[[int], None]:
    @app.job
    def ship(number: int) -> None: ...

    return ship


def played(caller: Opened, url: str, play: Callable[[Mine], Awaitable[T]]) -> T:
    """Return what comes of it in a session of this kind, on a loop of its own."""

    async def on_the_loop() -> T:
        async with caller(url) as mine:
            return await play(mine)

    return asyncio.run(on_the_loop())


def orders(database: Database) -> list[int]:
    return [number for (number,) in database.sql("select number from orders")]


@each_caller
def test_a_commit_makes_the_jobs_exist(
    caller: Opened, app: Workhorse, store: Store, database: Database, ship: Kind[[int], None]
) -> None:
    """Together with what else is in the transaction; until then nobody sees either."""

    async def play(mine: Mine) -> list[int]:
        with nothing_changed(store):
            await mine.run("insert into orders values (1)")
            one = await ship.using(session=mine.session, priority=3).aenqueue(1)
            both = [ship.using(session=mine.session).bind(number) for number in (2, 3)]
            rest = await app.aenqueue_many(both)
        await mine.commit()
        return [handle.id for handle in (one, *rest)]

    ids = played(caller, database.url, play)
    jobs = sorted(store.list_jobs(JobFilter()), key=lambda job: job.id)
    assert [job.id for job in jobs] == ids
    assert [job.args for job in jobs] == [f'{{"number":{number}}}' for number in (1, 2, 3)]
    assert [job.priority for job in jobs] == [3, 0, 0]
    assert [story(store, id) for id in ids] == [["enqueue"]] * 3
    assert orders(database) == [1]
    worker = Worker(store, kinds=[jobs[0].kind])
    assert [worker.run(OK).id for _ in ids] == ids


@each_caller
def test_after_a_rollback_the_job_never_was(
    caller: Opened, store: Store, database: Database, ship: Kind[[int], None]
) -> None:
    """No row, no event, and the caller's own row is gone with it."""

    async def play(mine: Mine) -> None:
        await mine.run("insert into orders values (1)")
        await ship.using(session=mine.session).aenqueue(1)
        await mine.rollback()

    with nothing_changed(store):
        played(caller, database.url, play)
    assert orders(database) == []


@each_caller
def test_the_job_alone_may_be_the_transaction(
    caller: Opened, store: Store, database: Database, ship: Kind[[int], None]
) -> None:
    """What comes first in a transaction is part of it like everything else."""

    async def play(mine: Mine) -> None:
        await ship.using(session=mine.session).aenqueue(1)
        assert store.list_jobs(JobFilter()) == []
        await mine.commit()

    played(caller, database.url, play)
    assert len(store.list_jobs(JobFilter())) == 1


@each_driver
def test_everything_a_job_may_ask_for(caller: Opened, store: Store, database: Database) -> None:
    """Delays, keys and dependencies count here as elsewhere."""
    holder = put(store, unique="held")
    done = a_job_in(State.SUCCEEDED, store)
    wanted = [
        a_job(delay=5),
        a_job(run_at=2**41, timeout=7),
        a_job(unique="held"),
        a_job(unique="new"),
        a_job(after=[holder]),
        a_job(after=[done]),
        a_job(idempotency_key="k"),
        a_job(idempotency_key="k"),
        a_job(idempotency_key="other", unique="held"),
    ]

    async def play(mine: Mine) -> list[Any]:
        answers = [
            *await store.aenqueue_with(mine.session, wanted[:6]),
            *await store.aenqueue_with(mine.session, wanted[6:]),
        ]
        await mine.commit()
        return answers

    answers = played(caller, database.url, play)
    assert [(answer.state, answer.existing) for answer in answers] == [
        (State.SCHEDULED, False),
        (State.SCHEDULED, False),
        (State.AVAILABLE, True),
        (State.AVAILABLE, False),
        (State.BLOCKED, False),
        (State.AVAILABLE, False),
        (State.AVAILABLE, False),
        (State.AVAILABLE, True),
        (State.AVAILABLE, True),
    ]
    assert {answers[2].id, answers[8].id} == {holder}
    assert answers[7].id == answers[6].id
    again = store.enqueue([a_job(idempotency_key="other")])[0]
    assert (again.id, again.existing) == (holder, True)


@each_driver
@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (a_job(after=[NOBODY]), NotFound),
        (a_job(max_attempts=0), InvalidJob),
        (a_job(priority=2**40), InvalidJob),
        (a_job(args="\ud800"), InvalidJob),
    ],
)
def test_a_refused_call_leaves_nothing_in_the_transaction(
    caller: Opened, store: Store, database: Database, bad: NewJob, error: type[WorkhorseError]
) -> None:
    """All or none of a call; what the caller did before stays, and may still be committed."""
    database.sql("create table orders (number integer)")

    async def play(mine: Mine) -> None:
        await mine.run("insert into orders values (1)")
        await store.aenqueue_with(mine.session, [a_job(args="1")])
        with pytest.raises(error):
            await store.aenqueue_with(mine.session, [a_job(unique="k"), a_job(), bad])
        await mine.run("insert into orders values (2)")
        await mine.commit()

    played(caller, database.url, play)
    assert [job.args for job in store.list_jobs(JobFilter())] == ["1"]
    assert orders(database) == [1, 2]


@each_driver
def test_a_call_that_is_cancelled(caller: Opened, store: Store, database: Database) -> None:
    """It leaves nothing in the transaction either, which goes on."""
    database.sql("create table orders (number integer)")

    async def play(mine: Mine) -> None:
        await mine.run("insert into orders values (1)")
        with closing(psycopg.connect(database.url)) as other:
            store.enqueue_with(other, [a_job(unique="k")])
            call = store.aenqueue_with(mine.session, [a_job(), a_job(unique="k")])
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(call, 0.3)
            other.rollback()
        await mine.run("insert into orders values (2)")
        await mine.commit()

    with nothing_changed(store):
        played(caller, database.url, play)
    assert orders(database) == [1, 2]


@each_driver
def test_a_transaction_that_has_failed(caller: Opened, store: Store, database: Database) -> None:
    """It can only be rolled back: the caller is told."""

    async def play(mine: Mine) -> None:
        with pytest.raises((psycopg.Error, asyncpg.PostgresError)):
            await mine.run("select 1 / 0")
        with pytest.raises(InvalidJob, match="has failed") as refused:
            await store.aenqueue_with(mine.session, [a_job()])
        assert refused.value.hint

    with nothing_changed(store):
        played(caller, database.url, play)


@each_driver
def test_a_transaction_that_may_only_read(caller: Opened, store: Store, database: Database) -> None:
    """`InvalidJob`: to try again would change nothing. The transaction itself goes on."""

    async def play(mine: Mine) -> None:
        await mine.run("set transaction read only")
        with pytest.raises(InvalidJob, match="session is read-only"):
            await store.aenqueue_with(mine.session, [a_job()])
        await mine.run("select 1")

    with nothing_changed(store):
        played(caller, database.url, play)


@each_driver
def test_another_was_faster(caller: Opened, store: Store, database: Database) -> None:
    """What the transaction sees is out of date: it is to begin again, not to wait."""

    async def play(mine: Mine) -> None:
        await mine.run("set transaction isolation level repeatable read")
        await mine.run("select 1 from workhorse.jobs")
        put(store, unique="k")
        with pytest.raises(Unavailable, match="transaction") as refused:
            await store.aenqueue_with(mine.session, [a_job(), a_job(unique="k")])
        assert "all of it again" in str(refused.value.hint)
        await mine.commit()

    played(caller, database.url, play)
    assert len(store.list_jobs(JobFilter())) == 1


@each_driver
def test_a_server_that_goes_away(caller: Opened, store: Store, database: Database) -> None:
    """`Unavailable`, as everywhere: with another session it may be tried again."""

    async def play(mine: Mine) -> None:
        await mine.run("select 1")
        database.sql(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
            " and application_name = ''"
        )
        with pytest.raises(Unavailable):
            await store.aenqueue_with(mine.session, [a_job()])

    with nothing_changed(store):
        played(caller, database.url, play)


async def _autocommit(url: str) -> psycopg.AsyncConnection[Any]:
    return await psycopg.AsyncConnection.connect(url, autocommit=True)


@pytest.mark.parametrize("connect", [_autocommit, asyncpg.connect], ids=["psycopg", "asyncpg"])
def test_a_connection_without_a_transaction(
    connect: Callable[[str], Awaitable[Any]], store: Store, database: Database
) -> None:
    """It would commit each statement by itself; nor is a closed one of any use."""

    async def play() -> None:
        connection = await connect(database.url)
        with pytest.raises(InvalidJob, match="no open transaction"):
            await store.aenqueue_with(connection, [a_job()])
        await connection.close()
        with pytest.raises(InvalidJob, match=r"session .*closed"):
            await store.aenqueue_with(connection, [a_job()])

    with nothing_changed(store):
        asyncio.run(play())


def test_a_closed_connection_of_sqlalchemy(
    store: Store, database: Database, ship: Kind[[int], None]
) -> None:
    """A wrong argument, as one of the driver's own is, not a store to try again."""

    async def play() -> None:
        engine = create_async_engine(database.url.replace("postgresql", "postgresql+psycopg"))
        connection = await engine.connect()
        await connection.close()
        with pytest.raises(InvalidJob, match="session is closed"):
            await ship.using(session=connection).aenqueue(1)
        await engine.dispose()

    with nothing_changed(store):
        asyncio.run(play())


def test_a_pipeline(store: Store, database: Database) -> None:
    """Its answers come later, and an enqueue needs them at once: it is refused before it sends."""

    async def play(mine: Mine) -> None:
        async with mine.session.pipeline():
            with pytest.raises(InvalidJob, match="pipeline"):
                await store.aenqueue_with(mine.session, [a_job()])
        await mine.commit()

    with nothing_changed(store):
        played(of_psycopg, database.url, play)


@each_caller
def test_on_the_loop_only(
    caller: Opened, store: Store, database: Database, ship: Kind[[int], None]
) -> None:
    """`enqueue` cannot wait for it, and says what can."""

    async def play(mine: Mine) -> None:
        with pytest.raises(InvalidJob, match="event loop") as refused:
            ship.using(session=mine.session).enqueue(1)
        assert "aenqueue" in (refused.value.hint or "")

    with nothing_changed(store):
        played(caller, database.url, play)


@pytest.mark.parametrize("stranger", [None, "a text", object()])
def test_what_is_no_connection(store: Store, stranger: object) -> None:
    """`InvalidJob` that names what may be given."""
    with nothing_changed(store), pytest.raises(InvalidJob, match="session=") as refused:
        asyncio.run(store.aenqueue_with(stranger, [a_job()]))
    assert "asyncpg.Connection" in (refused.value.hint or "")


@each_driver
def test_to_sqlite(caller: Opened, database: Database, tmp_path: Path) -> None:
    """A store on SQLite has no such sessions, and says what it has."""
    with closing(Workhorse(f"sqlite:///{tmp_path / 'jobs.db'}")) as app:

        @app.job
        def noop() -> None: ...

        async def play(mine: Mine) -> None:
            with pytest.raises(InvalidJob, match="SQLite") as refused:
                await noop.using(session=mine.session).aenqueue()
            assert "sqlite3.Connection" in (refused.value.hint or "")

        played(caller, database.url, play)
        assert app.store.list_jobs(JobFilter()) == []
