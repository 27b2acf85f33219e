"""Who listens knows whether the store's rings are heard, and says why they are not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from psycopg.sql import SQL, Identifier
from structlog.testing import capture_logs

from tests.scenarios.facts import eventually
from tests.services.pgbouncer import PgBouncer
from tests.services.postgres import Database
from tests.store.hands import put
from workhorse.cli.doctor import examine
from workhorse.cli.shared import Place
from workhorse.store.opening import open_store
from workhorse.store.postgres import PostgresStore, listen
from workhorse.store.postgres.health import POOLED


@pytest.fixture(autouse=True)
def _short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is heard at all is heard in no time."""
    monkeypatch.setattr(listen, "TEST_PATIENCE", 1.0)


@pytest.fixture
def pooled(pgbouncer: PgBouncer, database: Database) -> Iterator[PostgresStore]:
    """The store, through a pooler."""
    with closing(open_store(pgbouncer.url(database.name))) as store:
        assert isinstance(store, PostgresStore)
        yield store


def why_deaf(store: PostgresStore, url: str | None) -> str:
    """Have a worker of `store` listen at `url`; return why it does not hear."""
    with capture_logs() as logs:
        bell = store.listen(lambda _: None, url=url)
        assert bell is not None
        with closing(bell):
            (told,) = eventually(lambda: list(logs))
            assert not bell.hears
    assert told["event"] == "not listening: this worker polls"
    return str(told["reason"])


def warnings_of(store: PostgresStore, url: str) -> list[str]:
    """Return what is found of it."""
    findings = store.health(listen_url=url).findings
    return [finding for level, finding in findings if level == "warn"]


def test_the_doctor_tries_what_is_set(
    pgbouncer: PgBouncer, database: Database, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a pooler it warns without a listening URL, and with one that is of no use alone."""
    assert list(workdir.iterdir()) == []
    monkeypatch.setenv("WORKHORSE_DATABASE_URL", pgbouncer.url(database.name))

    def said() -> list[str]:
        return [one.finding for one in examine(Place()) if "WORKHORSE_LISTEN_URL" in one.finding]

    assert said() == [POOLED]
    monkeypatch.setenv("WORKHORSE_LISTEN_URL", database.url)
    assert said() == []
    monkeypatch.setenv("WORKHORSE_LISTEN_URL", database.cluster.url("postgres"))
    assert len(said()) == 1


def test_the_server_itself(pooled: PostgresStore, database: Database) -> None:
    """Through a pooler jobs come, past it they are rung for: there is nothing to say."""
    heard: list[str] = []
    bell = pooled.listen(heard.append, url=database.url)
    assert bell is not None
    with closing(bell):
        eventually(lambda: bell.hears)
        put(pooled, queue="night")
        eventually(lambda: "night" in heard)
    assert warnings_of(pooled, database.url) == []


def test_another_database(pooled: PostgresStore, database: Database) -> None:
    """Of one server, and its own rings come through: it is deaf, and it is said of what."""
    url = database.cluster.url("postgres")
    words = "postgres: it is not the database of the store"
    assert words in why_deaf(pooled, url)
    (warning,) = warnings_of(pooled, url)
    assert words in warning
    assert "WORKHORSE_LISTEN_URL" in warning


def test_a_pooler(pooled: PostgresStore, pgbouncer: PgBouncer, database: Database) -> None:
    """No ring comes through it, even when store and listener meet in one connection behind it."""
    url = pgbouncer.url(database.name)
    words = "a pooler stands between"
    assert words in why_deaf(pooled, url)
    (warning,) = warnings_of(pooled, url)
    assert words in warning


def test_nobody_there(pooled: PostgresStore, pgbouncer: PgBouncer) -> None:
    """A server that does not let a worker in, in the words of any other."""
    url = pgbouncer.url("nowhere")
    assert "nowhere" in why_deaf(pooled, url)
    (warning,) = warnings_of(pooled, url)
    assert "nowhere" in warning


def test_a_server_that_cuts_idle_sessions(store: PostgresStore, database: Database) -> None:
    """A listener says nothing for long: it stays, where another session is cut."""
    alter = SQL("alter database {} set idle_session_timeout = '300ms'")
    database.cluster.sql(alter.format(Identifier(database.name)))
    bell = store.listen(lambda _: None)
    assert bell is not None
    with closing(bell):
        eventually(lambda: bell.hears)
        before = listeners(database)
        with psycopg.connect(database.url, autocommit=True) as another:
            eventually(lambda: not is_there(database, another.info.backend_pid))
        assert listeners(database) == before != []


def listeners(database: Database) -> list[tuple[int]]:
    """Return the sessions of those who listen."""
    return database.sql(
        "select pid from pg_stat_activity"
        " where datname = current_database() and application_name = 'workhorse listener'"
    )


def is_there(database: Database, pid: int) -> bool:
    return bool(database.sql("select 1 from pg_stat_activity where pid = %s", pid))
