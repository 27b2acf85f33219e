"""A statement straight through libpq keeps what the driver's cursor promises."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import closing
from enum import IntEnum
from typing import Any

import psycopg
import pytest

from tests.services.pgbouncer import PgBouncer
from tests.services.postgres import Database
from tests.store.hands import put, the
from workhorse.store.opening import open_store
from workhorse.store.postgres.connection import Connection, connect
from workhorse.store.postgres.direct import Direct, Row, first_row
from workhorse.store.protocol import JobFilter


@pytest.fixture
def connection(database: Database) -> Iterator[Connection]:
    with connect(database.url, name="test") as connection:
        yield connection


def ask(connection: Connection, sql: str, **parameters: Any) -> Row | None:
    return first_row(connection, Direct.of(sql, sql), parameters)


VALUES = "select %(text)s::text, %(yes)s::bool, %(no)s::bool, %(n)s::int, %(x)s::float8, %(text)s"


def test_values_arrive_as_they_are(connection: Connection) -> None:
    """Text as it is, whatever it holds; a parameter may stand twice."""
    text = "it's 100 % $1 \\ ☃"
    for _ in range(2):  # prepared, then used again
        found = ask(connection, VALUES, text=text, yes=True, no=False, n=-7, x=0.1)
        assert found == [text, "t", "f", "-7", "0.1", text]
    assert ask(connection, VALUES, text=None, yes=None, no=None, n=None, x=None) == [None] * 6


def test_a_statement_that_was_let_go_of_is_prepared_anew(connection: Connection) -> None:
    """As the driver does with all that the server has, when a transaction was undone."""
    for _ in range(3):
        assert ask(connection, "select %(n)s::int", n=1) == ["1"]
        assert connection.execute("select %s::int", [1]).fetchone() == (1,)
        with connection.transaction() as work:
            raise psycopg.Rollback(work)


class Level(IntEnum):
    HIGH = 10


class Seconds(float):
    def __repr__(self) -> str:
        return f"{float(self)} s"


def test_numbers_of_a_kind_of_their_own_are_numbers(connection: Connection) -> None:
    """Whatever they call themselves when they are shown."""
    sql = "select %(n)s::int, %(x)s::float8"
    assert ask(connection, sql, n=Level.HIGH, x=Seconds(1.5)) == ["10", "1.5"]


def test_no_row_is_none(connection: Connection) -> None:
    assert ask(connection, "select 1 where %(no)s", no=False) is None


def test_a_refusal_names_the_cause_and_leaves_the_connection_usable(connection: Connection) -> None:
    """Whether the server refuses to prepare a statement or to run it."""
    with pytest.raises(psycopg.errors.DivisionByZero):
        ask(connection, "select 1 / %(n)s::int", n=0)
    with pytest.raises(psycopg.errors.UndefinedTable):
        ask(connection, "select * from nowhere")
    with pytest.raises(psycopg.DataError, match="NUL"):
        ask(connection, "select %(text)s::text", text="a\0b")
    assert ask(connection, "select 1 / %(n)s::int", n=1) == ["1"]


def test_a_long_text_is_sent_whole(connection: Connection) -> None:
    """Longer than any buffer between here and there, so that sending has to wait."""
    length = 32 * 1024 * 1024
    assert ask(connection, "select length(%(text)s::text)", text="x" * length) == [str(length)]


def test_no_answer_within_its_patience(connection: Connection) -> None:
    """The connection is closed then: what it may still say is for nobody."""
    connection.patience = 0.2
    before = time.monotonic()
    with pytest.raises(psycopg.OperationalError, match="no answer"):
        ask(connection, "select pg_sleep(%(n)s)", n=5)
    assert time.monotonic() - before < 2
    assert connection.closed


class Rung(Exception):
    pass


def test_an_interrupted_one_is_closed(connection: Connection) -> None:
    """A handler of a signal may raise while the answer is waited for."""

    def ring(*_: object) -> None:
        raise Rung

    former = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(Rung):
            ask(connection, "select pg_sleep(%(n)s)", n=5)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)
    assert connection.closed


def test_a_connection_that_ended(connection: Connection, database: Database) -> None:
    assert ask(connection, "select 1") == ["1"]
    database.cluster.sql("select pg_terminate_backend(%s)", connection.info.backend_pid)
    with pytest.raises(psycopg.OperationalError):
        ask(connection, "select 1")
    assert connection.closed


def test_through_a_pooler_nothing_is_prepared(pgbouncer: PgBouncer, database: Database) -> None:
    """The next statement may meet another server process."""
    with connect(pgbouncer.url(database.name), name="test") as connection:
        assert connection.pooled
        assert ask(connection, "select %(n)s::int", n=1) == ["1"]
        found = connection.execute("select count(*) from pg_prepared_statements").fetchone()
        assert found == (0,)


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_any_text_in_whatever_encoding_the_client_is_to_speak(
    database: Database, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its surroundings are not asked: what is stored is stored, and read, as it is."""
    monkeypatch.setenv("PGCLIENTENCODING", encoding)
    with closing(open_store(f"{database.url}?client_encoding={encoding}")) as store:
        job = put(store, args='{"name":"Zoë ☃"}')
        assert the(store, job).args == '{"name":"Zoë ☃"}'
        assert store.list_jobs(JobFilter()) == [the(store, job)]
