"""Workhorse on PostgreSQL: a real `workhorse worker`, as it ships."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from bench import servers
from bench.peers.on_postgres import OnPostgres, database
from bench.peers.protocol import Client, Command
from bench.peers.python_peer import PythonPeer
from bench.peers.workhorse_sqlite import WorkhorseClient


class WorkhorsePostgres(OnPostgres, PythonPeer):
    """Workhorse with one or more processes."""

    package = "workhorse"
    look = """
        select from workhorse.jobs where queue = 'bench' and state = 'available'
        union all
        select from workhorse.jobs where queue = 'bench' and worker is not null
        limit 1"""

    def __init__(
        self, name: str, *, processes: int = 1, without: frozenset[str] = frozenset()
    ) -> None:
        super().__init__(name, without=without)
        self.processes = processes

    def settings(self) -> Mapping[str, Any]:
        return {"processes": self.processes, "events": True, "everything else": "default"}

    def install(self, folder: Path) -> None:
        from workhorse.store.opening import open_store

        with closing(open_store(self.url(folder), migrating=True)) as store:
            store.migrate()

    def environment(self, folder: Path) -> Mapping[str, str]:
        return {"WORKHORSE_DATABASE_URL": self.url(folder)}

    def missing(self) -> str | None:
        return self.missing_server() or PythonPeer.missing(self)

    def versions(self) -> Mapping[str, str]:
        return {**PythonPeer.versions(self), **self.server_version()}

    def open(self) -> Client:
        return WorkhorseClient()

    def client_of_backlog(self, folder: Path) -> Command:
        arguments, environment = self.client(folder)
        return Command(arguments, {**environment, "BENCH_WORKHORSE_QUEUE": "backlog"})

    def worker(self, folder: Path) -> Command:
        arguments = [sys.executable, "-m", "workhorse", "worker"]
        arguments += ["--app", "bench.peers.workhorse_app:app"]
        arguments += ["--processes", str(self.processes)]
        arguments += ["--queues", "bench,backlog", "--log-level", "warning"]
        return Command(arguments, self.environment(folder))

    @contextmanager
    def open_transaction(self, folder: Path) -> Iterator[None]:
        import psycopg

        with psycopg.connect(self.url(folder)) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.execute("select count(*) from workhorse.jobs")
            yield

    def claims(self, folder: Path, turns: int, limit: int) -> Command:
        module = "bench.peers.workhorse_claims"
        arguments = [sys.executable, "-m", module, str(turns), str(limit)]
        return Command(arguments, self.environment(folder))

    def put_in_order(self, folder: Path) -> None:
        server, name = servers.postgres(), database(folder)
        server.sql("vacuum analyze", database=name)
        server.sql("checkpoint")

    def copy(self, built: Path, folder: Path) -> None:
        self.remove(folder)
        servers.postgres().create_database(database(folder), template=database(built))
        self.put_in_order(folder)
