"""Workhorse on SQLite: a real `workhorse worker`, a supervisor and one child, as it ships."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Literal

from bench.peers.protocol import Client, Command
from bench.peers.python_peer import PythonPeer, fast_loop


class WorkhorseSqlite(PythonPeer):
    """Workhorse at one durability; its kinds are ``async def``, or plain functions in threads."""

    package = "workhorse"
    store = "sqlite"

    def __init__(
        self,
        name: str,
        *,
        durability: str,
        run: Literal["async", "thread"] = "async",
        without: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__(name, durability=durability, without=without)
        self.run = run

    def settings(self) -> Mapping[str, Any]:
        return {"processes": 1, "run": self.run, "events": True, "everything else": "default"}

    def prepare(self, folder: Path) -> None:
        from workhorse.store.opening import open_store

        open_store(self._url(folder)).close()

    def environment(self, folder: Path) -> Mapping[str, str]:
        return {"WORKHORSE_DATABASE_URL": self._url(folder), "BENCH_WORKHORSE_RUN": self.run}

    def open(self) -> Client:
        return WorkhorseClient()

    def client_of_backlog(self, folder: Path) -> Command:
        arguments, environment = self.client(folder)
        return Command(arguments, {**environment, "BENCH_WORKHORSE_QUEUE": "backlog"})

    def worker(self, folder: Path) -> Command:
        arguments = [sys.executable, "-m", "workhorse", "worker"]
        arguments += ["--app", "bench.peers.workhorse_app:app", "--processes", "1"]
        arguments += ["--queues", "bench,backlog", "--log-level", "warning"]
        return Command(arguments, self.environment(folder))

    @contextmanager
    def unfinished(self, folder: Path) -> Iterator[Callable[[], bool]]:
        look = """
            select 1 from jobs where queue = 'bench' and state = 'available'
            union all
            select 1 from jobs where queue = 'bench' and worker is not null
            limit 1"""
        with closing(sqlite3.connect(f"file:{folder / 'jobs.db'}?mode=ro", uri=True)) as connection:
            yield lambda: connection.execute(look).fetchone() is not None

    def put_in_order(self, folder: Path) -> None:
        with closing(sqlite3.connect(folder / "jobs.db", isolation_level=None)) as connection:
            connection.execute("vacuum")
            connection.execute("analyze")
            connection.execute("pragma wal_checkpoint(truncate)")

    def copy(self, built: Path, folder: Path) -> None:
        shutil.copyfile(built / "jobs.db", folder / "jobs.db")

    def _url(self, folder: Path) -> str:
        return f"sqlite:///{folder / 'jobs.db'}?durability={self.durability}"


class WorkhorseClient:
    """Enqueues as users do: kinds that are called, and bound ones together."""

    def __init__(self) -> None:
        from bench.peers import workhorse_app

        self._app = workhorse_app.app
        self._noop = workhorse_app.noop
        self.noop = workhorse_app.noop.enqueue
        self.mark = workhorse_app.mark.enqueue
        self.stamp = workhorse_app.stamp.enqueue

    def noops(self, count: int) -> None:
        self._app.enqueue_many([self._noop.bind() for _ in range(count)])

    def concurrent(self, count: int) -> None:
        async def all_at_once() -> None:
            await asyncio.gather(*(self._noop.aenqueue() for _ in range(count)))

        fast_loop().run_until_complete(all_at_once())
