"""huey on SQLite at its best: one consumer thread, no results, no logging, a 10 ms poll."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from bench.peers.protocol import Client, Command
from bench.peers.python_peer import PythonPeer


class HueySqlite(PythonPeer):
    """huey at one durability. Its `fsync=False` is synchronous=OFF, `fsync=True` is FULL."""

    package = "huey"
    store = "sqlite"

    def settings(self) -> Mapping[str, Any]:
        return {"threads": 1, "delay": 0.01, "results": False, "log": "warnings"}

    def prepare(self, folder: Path) -> None:
        from bench.peers.huey_queue import make

        make(str(folder / "huey.db"), self.durability).storage.close()

    def environment(self, folder: Path) -> Mapping[str, str]:
        return {
            "BENCH_HUEY_FILE": str(folder / "huey.db"),
            "BENCH_HUEY_DURABILITY": self.durability,
        }

    def open(self) -> Client:
        from bench.peers import huey_app

        return _HueyClient(huey_app)

    def worker(self, folder: Path) -> Command:
        consumer = str(Path(sys.executable).with_name("huey_consumer"))
        options = ["-w", "1", "-k", "thread", "-d", "0.01", "-m", "0.01", "-n", "-q"]
        arguments = [sys.executable, consumer, "bench.peers.huey_app.huey", *options]
        return Command(arguments, self.environment(folder))

    @contextmanager
    def unfinished(self, folder: Path) -> Iterator[Callable[[], bool]]:
        look = "select 1 from task limit 1"
        with closing(sqlite3.connect(f"file:{folder / 'huey.db'}?mode=ro", uri=True)) as connection:
            yield lambda: connection.execute(look).fetchone() is not None


class _HueyClient:
    def __init__(self, app: Any) -> None:
        self.noop = app.noop
        self.mark = app.mark
        self.stamp = app.stamp

    def noops(self, count: int) -> None:
        for _ in range(count):
            self.noop()
