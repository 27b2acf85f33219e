"""Workhorse on SQLite: a real `workhorse worker`, a supervisor and one child, as it ships."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from bench.peers.protocol import Command


class WorkhorseSqlite:
    """Workhorse at one durability; its kinds are ``async def``, or plain functions in threads."""

    has_bulk = True

    def __init__(
        self, name: str, *, durability: str, run: Literal["async", "thread"] = "async"
    ) -> None:
        self.name = name
        self.durability = durability
        self.run = run

    def versions(self) -> Mapping[str, str]:
        return {"workhorse": version("workhorse")}

    def settings(self) -> Mapping[str, Any]:
        return {"processes": 1, "run": self.run, "events": True, "everything else": "default"}

    def prepare(self, folder: Path) -> None:
        from workhorse.store.opening import open_store

        open_store(self._url(folder)).close()

    def client(self, folder: Path, queue: str = "bench") -> WorkhorseClient:
        os.environ.update(self._environment(folder))
        return WorkhorseClient(queue)

    def worker(self, folder: Path) -> Command:
        arguments = [sys.executable, "-m", "workhorse", "worker"]
        arguments += ["--app", "bench.peers.workhorse_app:app", "--processes", "1"]
        arguments += ["--queues", "bench,backlog", "--log-level", "warning"]
        return Command(arguments, self._environment(folder))

    def unfinished(self, folder: Path) -> Callable[[], bool]:
        connection = sqlite3.connect(f"file:{folder / 'jobs.db'}?mode=ro", uri=True)
        look = "select 1 from jobs where queue = 'bench' limit 1"
        return lambda: connection.execute(look).fetchone() is not None

    def _url(self, folder: Path) -> str:
        return f"sqlite:///{folder / 'jobs.db'}?durability={self.durability}"

    def _environment(self, folder: Path) -> dict[str, str]:
        return {
            "WORKHORSE_DATABASE_URL": self._url(folder),
            "BENCH_WORKHORSE_RUN": self.run,
        }


class WorkhorseClient:
    """Enqueues into ``bench``, or the bare jobs into the queue below it."""

    def __init__(self, queue: str) -> None:
        from bench.peers import workhorse_app

        self._app = workhorse_app
        self._noop = workhorse_app.noop if queue == "bench" else workhorse_app.waiting

    def noop(self) -> None:
        self._noop.enqueue()

    def noops(self, count: int) -> None:
        self._app.app.enqueue_many([self._noop.bind() for _ in range(count)])

    def mark(self, path: str) -> None:
        self._app.mark.enqueue(path)

    def stamp(self, path: str, sent: int) -> None:
        self._app.stamp.enqueue(path, sent)
