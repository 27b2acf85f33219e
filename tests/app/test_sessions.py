"""Enqueuing inside the caller's own transaction: commit means enqueued, rollback never existed."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import sqlalchemy
from sqlalchemy.orm import Session

from tests.app.helpers import stored, work
from workhorse import InvalidJob, Kind, NotFound, State, Workhorse

Noop: TypeAlias = Kind[..., None]


@pytest.fixture
def noop(app: Workhorse) -> Noop:
    @app.job(name="noop")
    def noop(number: int = 0) -> None:
        """Do nothing."""

    return noop


def connect(app: Workhorse, **how: Any) -> sqlite3.Connection:
    """Open a connection of the caller's own, with a table of its own, to the app's database."""
    assert app.store.run_dir is not None
    connection: sqlite3.Connection
    connection = sqlite3.connect(app.url.removeprefix("sqlite:///"), **how)
    connection.execute("create table if not exists orders (id integer primary key)")
    connection.commit()
    return connection


@pytest.fixture
def mine(app: Workhorse) -> Iterator[sqlite3.Connection]:
    connection = connect(app)
    yield connection
    connection.close()


def orders(app: Workhorse) -> int:
    connection = connect(app)
    (number,) = connection.execute("select count(*) from orders").fetchone()
    connection.close()
    return int(number)


def test_a_commit_makes_the_job_exist(app: Workhorse, noop: Noop, mine: sqlite3.Connection) -> None:
    """Before it nobody sees the job; after it the job is there together with the caller's row."""
    mine.execute("insert into orders default values")
    handle = noop.using(session=mine).enqueue(5)
    assert stored(app) == []
    with pytest.raises(NotFound):
        handle.refresh()
    mine.commit()
    assert handle.refresh().state is State.AVAILABLE
    assert orders(app) == 1
    work(app, handle.id)
    assert handle.refresh().state is State.SUCCEEDED


def test_a_rollback_means_it_never_existed(
    app: Workhorse, noop: Noop, mine: sqlite3.Connection
) -> None:
    """No row, no event; the caller's row is gone with it."""
    mine.execute("insert into orders default values")
    handle = noop.using(session=mine).enqueue(5)
    mine.rollback()
    assert stored(app) == []
    assert app.store.events() == []
    assert orders(app) == 0
    with pytest.raises(NotFound):
        handle.refresh()


def test_the_job_alone_may_be_the_transaction(
    app: Workhorse, noop: Noop, mine: sqlite3.Connection
) -> None:
    """Enqueuing begins the caller's transaction like any statement that writes, and no more."""
    noop.using(session=mine).enqueue()
    assert mine.in_transaction
    mine.rollback()
    assert stored(app) == []


def test_a_connection_without_a_transaction_is_refused(app: Workhorse, noop: Noop) -> None:
    """One that commits each statement by itself must have begun."""
    mine = connect(app, isolation_level=None)
    with pytest.raises(InvalidJob, match="no open transaction"):
        noop.using(session=mine).enqueue()
    mine.execute("begin immediate")
    handle = noop.using(session=mine).enqueue()
    mine.execute("commit")
    mine.close()
    assert handle.refresh().state is State.AVAILABLE


def test_many_in_one_transaction_of_the_callers(
    app: Workhorse, noop: Noop, mine: sqlite3.Connection
) -> None:
    """`enqueue_many` joins it too, when all the jobs name the same session."""
    prepared = noop.using(session=mine)
    handles = app.enqueue_many([prepared.bind(n) for n in range(3)])
    assert stored(app) == []
    mine.commit()
    assert [job.id for job in stored(app)] == [handle.id for handle in handles]
    with pytest.raises(InvalidJob, match="different sessions"):
        app.enqueue_many([prepared.bind(1), noop.bind(2)])
    with pytest.raises(InvalidJob, match="different sessions"):
        app.enqueue_many([noop.bind(2), prepared.bind(1)])


def test_every_option_holds_in_a_session(
    app: Workhorse, noop: Noop, mine: sqlite3.Connection
) -> None:
    """Keys, dependencies and delays see the caller's uncommitted jobs."""
    prepared = noop.using(session=mine)
    first = prepared.using(unique="k").enqueue()
    again = prepared.using(unique="k").enqueue()
    keyed = [prepared.using(idempotency_key="k").enqueue() for _ in range(2)]
    after = prepared.using(after=first).enqueue()
    later = prepared.using(delay=60).enqueue()
    mine.commit()
    assert (again.id, again.existing) == (first.id, True)
    assert [handle.existing for handle in keyed] == [False, True]
    assert keyed[0].id == keyed[1].id
    states = [handle.refresh().state for handle in (first, after, later)]
    assert states == [State.AVAILABLE, State.BLOCKED, State.SCHEDULED]


def test_a_refused_job_leaves_the_transaction_as_it_was(
    app: Workhorse, noop: Noop, mine: sqlite3.Connection
) -> None:
    """The caller may go on and commit what it did itself."""
    mine.execute("insert into orders default values")
    with pytest.raises(NotFound):
        noop.using(session=mine, after=[999]).enqueue()
    with pytest.raises(InvalidJob):
        noop.using(session=mine).enqueue("one")
    mine.commit()
    assert orders(app) == 1
    assert stored(app) == []


def test_aenqueue_joins_the_transaction_too(
    app: Workhorse, noop: Noop, mine: sqlite3.Connection
) -> None:
    """It runs on the caller's thread: a connection may belong to it."""
    handle = asyncio.run(_aenqueue(noop, mine))
    assert stored(app) == []
    mine.commit()
    assert handle.refresh().state is State.AVAILABLE


async def _aenqueue(noop: Noop, mine: sqlite3.Connection) -> Any:
    return await noop.using(session=mine).aenqueue()


@pytest.mark.parametrize("odd", ["jobs.db", 5, object()], ids=["text", "number", "object"])
def test_what_is_no_session_is_refused(app: Workhorse, noop: Noop, odd: object) -> None:
    """The error names what was given, and what could be."""
    with pytest.raises(InvalidJob, match=rf"session={type(odd).__name__} is no SQLite transaction"):
        noop.using(session=odd).enqueue()
    assert stored(app) == []


def test_a_connection_to_another_database_is_refused(noop: Noop, tmp_path: Path) -> None:
    """A job cannot be stored where there is no store; nor in another one, where nobody looks."""
    other = sqlite3.connect(tmp_path / "other.db")
    with pytest.raises(InvalidJob, match=r"not to the store .*jobs\.db, but to .*other\.db"):
        noop.using(session=other).enqueue()
    other.close()
    with closing(Workhorse(f"sqlite:///{tmp_path / 'second.db'}")) as second:
        other = connect(second)
        with pytest.raises(InvalidJob, match=r"but to .*second\.db"):
            noop.using(session=other).enqueue()
        other.commit()
        other.close()
        assert stored(second) == []


def test_the_same_file_by_another_name(app: Workhorse, noop: Noop, tmp_path: Path) -> None:
    """A link to the store's file is the store; so is one that is attached to the caller's."""
    link = tmp_path / "link.db"
    assert app.store.run_dir is not None
    link.hardlink_to(tmp_path / "jobs.db")
    attached = sqlite3.connect(tmp_path / "own.db")
    attached.execute("attach ? as jobs", (str(tmp_path / "jobs.db"),))
    noop.using(session=attached).enqueue()
    attached.commit()
    attached.close()
    assert len(stored(app)) == 1


def test_a_closed_session_is_refused(app: Workhorse, noop: Noop, engine: sqlalchemy.Engine) -> None:
    """The driver's connection or SQLAlchemy's: a wrong argument, not a store to try again."""
    mine, theirs = connect(app), engine.connect()
    mine.close()
    theirs.close()
    for session in (mine, theirs):
        with pytest.raises(InvalidJob, match=r"session .*closed") as refused:
            noop.using(session=session).enqueue()
        assert refused.value.hint
    assert stored(app) == []


def test_a_session_is_not_run_inline(inline: Workhorse) -> None:
    """The job does not exist before the commit, so inline mode leaves it to whoever comes."""
    ran: list[int] = []

    @inline.job
    def work() -> None:
        ran.append(1)

    mine = connect(inline)
    handle = work.using(session=mine).enqueue()
    mine.commit()
    mine.close()
    assert handle.refresh().state is State.AVAILABLE
    assert ran == []


# ── SQLAlchemy ──────────────────────────────────────────────────────────────────────────────


INSERT = sqlalchemy.text("insert into orders default values")


@pytest.fixture
def engine(app: Workhorse) -> Iterator[sqlalchemy.Engine]:
    """An SQLAlchemy engine on the app's database."""
    connect(app).close()
    engine = sqlalchemy.create_engine(app.url)
    yield engine
    engine.dispose()


@pytest.mark.parametrize("kind_of_session", ["session", "connection"])
@pytest.mark.parametrize("commits", [True, False])
def test_a_job_shares_the_fate_of_an_sqlalchemy_transaction(
    app: Workhorse, noop: Noop, engine: sqlalchemy.Engine, kind_of_session: str, *, commits: bool
) -> None:
    """Session or connection: commit = enqueued with the caller's row, rollback = never existed."""
    opened: Session | sqlalchemy.Connection
    opened = Session(engine) if kind_of_session == "session" else engine.connect()
    with opened as session:
        session.execute(INSERT)
        handle = noop.using(session=session).enqueue(5)
        assert stored(app) == []
        if commits:
            session.commit()
        else:
            session.rollback()
    assert [job.id for job in stored(app)] == ([handle.id] if commits else [])
    assert orders(app) == int(commits)


def test_a_failed_unit_of_work_takes_its_job_with_it(
    app: Workhorse, noop: Noop, engine: sqlalchemy.Engine
) -> None:
    """An exception in the caller's block rolls both back."""

    def unit_of_work() -> None:
        with Session(engine) as session, session.begin():
            noop.using(session=session).enqueue(5)
            session.execute(INSERT)
            raise RuntimeError("changed my mind")

    with pytest.raises(RuntimeError, match="changed my mind"):
        unit_of_work()
    assert stored(app) == []
    assert orders(app) == 0


def test_an_engine_is_no_session(app: Workhorse, noop: Noop, engine: sqlalchemy.Engine) -> None:
    """It has no transaction that could be committed."""
    with pytest.raises(InvalidJob, match="session=Engine is no SQLite transaction"):
        noop.using(session=engine).enqueue()
    assert stored(app) == []
