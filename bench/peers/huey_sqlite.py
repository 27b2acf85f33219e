"""huey on SQLite at its best: one consumer thread, no results, no logging, a 10 ms poll."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.peers.protocol import Client, Command


class HueySqlite:
    """huey at one durability. Its `fsync=False` is synchronous=OFF, `fsync=True` is FULL."""

    has_bulk = False

    def __init__(self, name: str, *, durability: str) -> None:
        self.name = name
        self.durability = durability

    def versions(self) -> Mapping[str, str]:
        return {"huey": version("huey")}

    def settings(self) -> Mapping[str, Any]:
        return {"threads": 1, "delay": 0.01, "results": False, "log": "warnings"}

    def prepare(self, folder: Path) -> None:
        from bench.peers.huey_queue import make

        make(str(folder / "huey.db"), self.durability).storage.close()

    def client(self, folder: Path) -> Client:
        os.environ.update(self._environment(folder))
        from bench.peers import huey_app

        return _HueyClient(huey_app)

    def worker(self, folder: Path) -> Command:
        consumer = str(Path(sys.executable).with_name("huey_consumer"))
        options = ["-w", "1", "-k", "thread", "-d", "0.01", "-m", "0.01", "-n", "-q"]
        arguments = [sys.executable, consumer, "bench.peers.huey_app.huey", *options]
        return Command(arguments, self._environment(folder))

    def unfinished(self, folder: Path) -> Callable[[], bool]:
        connection = sqlite3.connect(f"file:{folder / 'huey.db'}?mode=ro", uri=True)
        return lambda: connection.execute("select 1 from task limit 1").fetchone() is not None

    def _environment(self, folder: Path) -> dict[str, str]:
        return {
            "BENCH_HUEY_FILE": str(folder / "huey.db"),
            "BENCH_HUEY_DURABILITY": self.durability,
        }


class _HueyClient:
    def __init__(self, app: Any) -> None:
        self._app = app
        self.noop = app.noop

    def noops(self, count: int) -> None:
        for _ in range(count):
            self.noop()

    def mark(self, path: str) -> None:
        self._app.mark(path)

    def stamp(self, path: str, sent: int) -> None:
        self._app.stamp(path, sent)
