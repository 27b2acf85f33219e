"""The kinds of store that the suite runs over. Another joins by its line in `BACKENDS`."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import psycopg
import pytest
from _pytest.mark import ParameterSet

from tests.services.fixtures import SERIALIZABLE, TEMPLATE, Clusters
from tests.services.postgres import SUPERUSER, Cluster
from tests.store.hands import SettableClock
from workhorse.store.opening import open_store
from workhorse.store.protocol import Store
from workhorse.store.sqlite.clock import Clock

LOG_BOUND: Final = 64 * 1024 * 1024
"""What the log of an SQLite store in use stays under, in bytes."""


class Backend(Protocol):
    """One kind of store. `open_store` opens what it gives the URL of, any number of times."""

    name: str
    jobs: str
    """What a caller's own connection calls the table of unfinished jobs."""

    def place(self, folder: Path, *, durable: bool = False) -> AbstractContextManager[str]:
        """Give the URL of an empty store for one test, and clear it away afterwards.

        Unless it is `durable` it outlives its processes, but not a power cut: no test sees more.
        """

    def open(self, url: str, clock: Clock | None) -> Store:
        """Open the store at `url`, by this clock."""

    def follow(self, url: str, clock: SettableClock) -> AbstractContextManager[None]:
        """Have the store's clock follow the test's meanwhile, where that is another."""

    def connect(self, url: str) -> AbstractContextManager[Any]:
        """Give a caller's own connection to the same database, as `enqueue_with` takes it.

        It has `execute`, `commit` and `rollback`, and begins a transaction by itself.
        """

    def forget_workers(self, url: str) -> None:
        """Have it so that no worker was ever there."""

    def sqlalchemy_url(self, url: str) -> str:
        """Return the same database as SQLAlchemy spells it."""

    def django_settings(self, url: str) -> dict[str, Any]:
        """Return the same database as a project of Django's has it in its settings."""

    def excess(self, url: str) -> str | None:
        """Say what of a store in use has grown beyond its bound, if anything has."""


class Sqlite:
    """A file in the test's folder."""

    name = "sqlite"
    jobs = "jobs"
    needs: Final[list[pytest.MarkDecorator]] = []

    @contextmanager
    def place(self, folder: Path, *, durable: bool = False) -> Iterator[str]:
        yield f"sqlite:///{folder / 'jobs.db'}?durability={'full' if durable else 'normal'}"

    def open(self, url: str, clock: Clock | None) -> Store:
        return open_store(url, clock=clock)

    def follow(self, url: str, clock: SettableClock) -> AbstractContextManager[None]:
        return nullcontext()

    def connect(self, url: str) -> AbstractContextManager[sqlite3.Connection]:
        return closing(sqlite3.connect(self._path(url), timeout=0))

    def forget_workers(self, url: str) -> None:
        with self.connect(url) as connection:
            connection.execute("delete from workers")
            connection.execute("delete from sqlite_sequence where name = 'workers'")
            connection.commit()

    def sqlalchemy_url(self, url: str) -> str:
        return f"sqlite:///{self._path(url)}"

    def django_settings(self, url: str) -> dict[str, Any]:
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": str(self._path(url))}

    def excess(self, url: str) -> str | None:
        log = self._path(url).with_name("jobs.db-wal")
        size = log.stat().st_size if log.exists() else 0
        return f"the log has {size:,} bytes" if size >= LOG_BOUND else None

    def _path(self, url: str) -> Path:
        return Path(url.partition("?")[0].removeprefix("sqlite:///"))


class OnCluster:
    """PostgreSQL of one version, reached in one way; becomes a `Backend` on a running cluster."""

    def __init__(
        self, name: str, version: str, *, pooled: bool = False, user: str = SUPERUSER
    ) -> None:
        self.name = name
        self.version = version
        self.pooled = pooled
        self.user = user

    @property
    def needs(self) -> list[pytest.MarkDecorator]:
        """What the machine must have."""
        services = [f"pg{self.version}", *(["pgbouncer"] if self.pooled else [])]
        return [pytest.mark.needs(service) for service in services]

    def __call__(self, clusters: Clusters) -> Backend:
        return Postgres(self, clusters)


class Postgres:
    """A database of its own for each test, whose clock is the test's."""

    jobs = "workhorse.jobs"

    def __init__(self, kind: OnCluster, clusters: Clusters) -> None:
        self.name = kind.name
        self._kind = kind
        self._clusters = clusters

    @contextmanager
    def place(self, folder: Path, *, durable: bool = False) -> Iterator[str]:
        cluster = self._clusters[self._kind.version]
        database = cluster.create_database(template=self._template(cluster))
        try:
            way = self._clusters.pooler(cluster.version) if self._kind.pooled else cluster
            yield way.url(database.name, user=self._kind.user)
        finally:
            cluster.drop_database(database.name)

    def open(self, url: str, clock: Clock | None) -> Store:
        """Open it; the clock is the database's own, which `follow` has moved."""
        return open_store(url)

    @contextmanager
    def follow(self, url: str, clock: SettableClock) -> Iterator[None]:
        """Keep the database's clock where the test's is."""
        with self.connect(url) as connection:

            def set_clock(now: int) -> None:
                connection.execute("update workhorse.test_clock set now = %s", (now,))
                connection.commit()

            set_clock(clock.now)
            clock.followers.append(set_clock)
            yield

    def connect(self, url: str) -> AbstractContextManager[psycopg.Connection[Any]]:
        prepare = None if self._kind.pooled else 5
        return closing(psycopg.connect(url, prepare_threshold=prepare))

    def forget_workers(self, url: str) -> None:
        owners = self._clusters[self._kind.version].url(urlsplit(url).path[1:])
        with psycopg.connect(owners) as connection:
            connection.execute("delete from workhorse.workers")
            connection.execute("select setval('workhorse.workers_id_seq', 1, false)")

    def sqlalchemy_url(self, url: str) -> str:
        return url.replace("postgresql://", "postgresql+psycopg://")

    def django_settings(self, url: str) -> dict[str, Any]:
        place = urlsplit(url)
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": place.path[1:],
            "USER": place.username,
            "HOST": place.hostname,
            "PORT": place.port,
        }

    def excess(self, url: str) -> str | None:
        return None

    def _template(self, cluster: Cluster) -> str:
        """Return a database like the prepared one, whose clock a test can set."""
        name = "with_test_clock"
        if not cluster.has_database(name):
            database = cluster.create_database(name, template=TEMPLATE)
            database.sql("create table workhorse.test_clock (now bigint)")
            database.sql("insert into workhorse.test_clock values (0)")
            database.sql(
                "create or replace function workhorse.clock() returns bigint "
                "language sql stable as 'select now from workhorse.test_clock'"
            )
        return name


EVERY: Final = (
    Sqlite(),
    OnCluster("pg15", "15"),
    OnCluster("pg18", "18"),
    OnCluster("pgbouncer", "15", pooled=True),
    OnCluster("serializable", "18", user=SERIALIZABLE),
)
USUAL: Final = "sqlite,pg18"


def chosen() -> list[ParameterSet]:
    """Return the kinds of store that this run of the suite takes.

    `SUITE_STORES` names them, with commas between, or says `all`.
    """
    asked = os.environ.get("SUITE_STORES") or USUAL
    names = [kind.name for kind in EVERY] if asked == "all" else asked.split(",")
    return [
        pytest.param(kind, marks=kind.needs, id=kind.name) for kind in EVERY if kind.name in names
    ]


BACKENDS: Final = chosen()
