"""enqueue inside the caller's own transaction: its commit makes the jobs exist."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import pytest
import sqlalchemy
from django.db import transaction
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from tests.store.backends import Backend
from tests.store.django_site import django_on
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
    state,
    story,
    the,
)
from workhorse import Workhorse
from workhorse.domain.errors import InvalidJob, NotFound, WorkhorseError
from workhorse.domain.job import NewJob, State
from workhorse.store.protocol import JobFilter, Store


@pytest.fixture
def connection(store: Store, backend: Backend, url: str) -> Iterator[Any]:
    """The caller's connection, with a table of its own."""
    with backend.connect(url) as connection:
        connection.execute("create table orders (number integer)")
        connection.commit()
        yield connection


def orders(connection: Any) -> list[int]:
    return [number for (number,) in connection.execute("select number from orders")]


def order(connection: Any, number: int) -> None:
    connection.execute(f"insert into orders values ({number})")


def test_a_commit_makes_the_job_exist(store: Store, connection: Any, clock: SettableClock) -> None:
    """Together with what else is in the transaction; until then nobody sees either."""
    order(connection, 1)
    (answer,) = store.enqueue_with(connection, [a_job(args='{"order":1}', priority=3)])
    assert store.get(answer.id) is None
    assert store.events() == []
    connection.commit()
    job = the(store, answer.id)
    assert (job.state, job.args, job.priority) == (State.AVAILABLE, '{"order":1}', 3)
    assert (job.enqueued_at, story(store, job.id)) == (clock.now, ["enqueue"])
    assert orders(connection) == [1]
    assert Worker(store).run(OK).id == answer.id


def test_after_a_rollback_the_job_never_was(store: Store, connection: Any) -> None:
    """No row, no event; its unique key is free, and what the caller wrote is gone as well."""
    with nothing_changed(store):
        order(connection, 1)
        store.enqueue_with(connection, [a_job(unique="k"), a_job(), a_job(delay=5)])
        connection.rollback()
    assert orders(connection) == []
    assert not store.enqueue([a_job(unique="k")])[0].existing


def test_a_thousand_rolled_back(store: Store, connection: Any) -> None:
    """Producer after producer changes its mind: nothing of all that is there."""
    with nothing_changed(store):
        for _ in range(100):
            store.enqueue_with(connection, [a_job() for _ in range(10)])
            connection.rollback()


def test_the_first_statement_of_a_transaction(store: Store, connection: Any) -> None:
    """Enqueuing begins the caller's transaction when nothing has yet; it never ends it."""
    (first,) = store.enqueue_with(connection, [a_job()])
    connection.rollback()
    (second,) = store.enqueue_with(connection, [a_job(args="2")])
    (third,) = store.enqueue_with(connection, [a_job(args="3")])
    connection.commit()
    assert first.id <= second.id < third.id
    assert [job.args for job in store.list_jobs(JobFilter())] == ["3", "2"]


def test_everything_a_job_may_ask_for(store: Store, connection: Any) -> None:
    """Delays, keys and dependencies count in a caller's transaction as elsewhere."""
    holder = put(store, unique="held")
    done = a_job_in(State.SUCCEEDED, store)
    answers = store.enqueue_with(
        connection,
        [
            a_job(delay=5),
            a_job(unique="held"),
            a_job(unique="new"),
            a_job(unique="new"),
            a_job(after=[holder]),
            a_job(after=[done]),
        ],
    )
    connection.commit()
    assert [(answer.state, answer.existing) for answer in answers] == [
        (State.SCHEDULED, False),
        (State.AVAILABLE, True),
        (State.AVAILABLE, False),
        (State.AVAILABLE, True),
        (State.BLOCKED, False),
        (State.AVAILABLE, False),
    ]
    assert answers[1].id == holder
    assert answers[3].id == answers[2].id
    assert [state(store, answer.id) for answer in answers] == [answer.state for answer in answers]


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (a_job(after=[NOBODY]), NotFound),
        (a_job(max_attempts=0), InvalidJob),
        (a_job(args="\ud800"), InvalidJob),
    ],
)
def test_a_refused_call_leaves_nothing_in_the_transaction(
    store: Store, connection: Any, bad: NewJob, error: type[WorkhorseError]
) -> None:
    """All or none of a call; what the caller did before stays, and may still be committed."""
    order(connection, 1)
    store.enqueue_with(connection, [a_job(args="1")])
    with pytest.raises(error):
        store.enqueue_with(connection, [a_job(unique="k"), a_job(), bad])
    order(connection, 2)
    connection.commit()
    assert [job.args for job in store.list_jobs(JobFilter())] == ["1"]
    assert len(store.events(limit=ALL)) == 1
    assert orders(connection) == [1, 2]
    assert not store.enqueue([a_job(unique="k")])[0].existing


def test_a_dependency_that_fails_first(store: Store, connection: Any) -> None:
    """A job after one that has failed is cancelled at once here, too."""
    failed = a_job_in(State.FAILED, store)
    (late,) = store.enqueue_with(connection, [a_job(after=[failed])])
    connection.commit()
    assert late.state is state(store, late.id) is State.CANCELLED


@pytest.mark.parametrize("stranger", [None, "a text", object()])
def test_what_is_no_connection(store: Store, stranger: object) -> None:
    """`InvalidJob`, not a driver's error."""
    with nothing_changed(store), pytest.raises(InvalidJob):
        store.enqueue_with(stranger, [a_job()])


def test_a_connection_that_is_closed(store: Store, backend: Backend, url: str) -> None:
    """`InvalidJob` that says so: to try again would be of no use."""
    with backend.connect(url) as connection:
        connection.close()
        with nothing_changed(store), pytest.raises(InvalidJob, match=r"session .*closed"):
            store.enqueue_with(connection, [a_job()])


# ── SQLAlchemy ──────────────────────────────────────────────────────────────────────────────


@contextmanager
def orm(engine: sqlalchemy.Engine) -> Iterator[Session]:
    with Session(engine) as session:
        yield session


@contextmanager
def scoped(engine: sqlalchemy.Engine) -> Iterator[scoped_session[Session]]:
    session = scoped_session(sessionmaker(engine))
    yield session
    session.remove()


class Proxy:
    """Stands for another, as a web framework's session of the request does."""

    def __init__(self, target: Any) -> None:
        self._target = target

    def __getattr__(self, name: str) -> Any:
        return getattr(self._target, name)


@contextmanager
def proxied(engine: sqlalchemy.Engine) -> Iterator[Proxy]:
    with Session(engine) as session:
        yield Proxy(session)


@contextmanager
def core(engine: sqlalchemy.Engine) -> Iterator[sqlalchemy.Connection]:
    with engine.connect() as connection:
        yield connection


@pytest.mark.parametrize("kind_of_session", [orm, scoped, proxied, core])
def test_a_session_of_sqlalchemy(
    store: Store, backend: Backend, url: str, connection: Any, kind_of_session: Callable[..., Any]
) -> None:
    """`using(session=…)` takes part in the transaction of a session, or of a connection."""
    with closing(Workhorse(url)) as app:

        @app.job
        def ship(number: int) -> None: ...

        engine = sqlalchemy.create_engine(backend.sqlalchemy_url(url))
        insert = sqlalchemy.text("insert into orders values (:number)")
        try:
            with kind_of_session(engine) as session:
                with nothing_changed(store):
                    session.execute(insert, {"number": 1})
                    ship.using(session=session).enqueue(1)
                    ship.using(session=session, delay=60).enqueue(1)
                    session.rollback()
                ship.using(session=session).enqueue(2)
                session.execute(insert, {"number": 2})
                assert store.list_jobs(JobFilter()) == []
                session.commit()
                app.enqueue_many([ship.using(session=session).bind(n) for n in (3, 4)])
                session.commit()
        finally:
            engine.dispose()
    assert orders(connection) == [2]
    assert [job.args for job in store.list_jobs(JobFilter())] == [
        '{"number":4}',
        '{"number":3}',
        '{"number":2}',
    ]


# ── Django ──────────────────────────────────────────────────────────────────────────────────


def test_a_connection_of_django(store: Store, backend: Backend, url: str, connection: Any) -> None:
    """`using(session=connection)` takes part in `atomic`, and in one within another."""
    with closing(Workhorse(url)) as app, django_on(backend.django_settings(url)) as session:

        @app.job
        def ship(number: int) -> None: ...

        with nothing_changed(store), suppress(KeyError), transaction.atomic():
            order(session.cursor(), 1)
            ship.using(session=session).enqueue(1)
            raise KeyError
        with transaction.atomic():
            ship.using(session=session).enqueue(2)
            with suppress(KeyError), transaction.atomic():
                ship.using(session=session).enqueue(3)
                raise KeyError
            order(session.cursor(), 2)
            app.enqueue_many([ship.using(session=session).bind(n) for n in (4, 5)])
            assert store.list_jobs(JobFilter()) == []
        with pytest.raises(InvalidJob, match="no open transaction"):
            ship.using(session=session).enqueue(6)
    assert orders(connection) == [2]
    assert [job.args for job in store.list_jobs(JobFilter())] == [
        '{"number":5}',
        '{"number":4}',
        '{"number":2}',
    ]
