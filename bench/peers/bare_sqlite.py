"""SQLite alone: the rows of one enqueue, written by the driver with nothing around it.

No peer but a limit: what the same two rows cost at the same durability without a check, without
a turn among processes, and without anybody being told.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.peers.protocol import Client
from bench.peers.workhorse_sqlite import WorkhorseSqlite


class BareSqlite(WorkhorseSqlite):
    """Workhorse's store and statements, and no Workhorse."""

    def settings(self) -> Mapping[str, Any]:
        return {"rows": "a job and its event", "everything else": "none"}

    def environment(self, folder: Path) -> Mapping[str, str]:
        return {"BENCH_BARE_FILE": str(folder / "jobs.db")}

    def open(self) -> Client:
        return _BareClient(os.environ["BENCH_BARE_FILE"], self.durability)


class _BareClient:
    def __init__(self, file: str, durability: str) -> None:
        from workhorse.store.statements import statements

        sql = statements("sqlite")
        self._job, self._event = sql["jobs.enqueue_one"], sql["events.enqueued_one"]
        self._connection = sqlite3.connect(file, isolation_level=None)
        self._connection.executescript(
            f"pragma journal_mode = wal; pragma synchronous = {durability};"
        )

    def noops(self, count: int) -> None:
        for _ in range(count):
            self.noop()

    def mark(self, path: str) -> None:
        raise NotImplementedError  # no worker runs here

    def stamp(self, path: str, sent: int) -> None:
        raise NotImplementedError

    def noop(self) -> None:
        now = time.time_ns() // 1_000_000
        row = {
            "kind": "noop",
            "queue": "bench",
            "state": "available",
            "priority": 0,
            "args": "{}",
            "max_attempts": 5,
            "timeout": 0,
            "backoff": "",
            "unique": None,
            "now": now,
            "run_at": now,
        }
        self._connection.execute("begin immediate")
        added = self._connection.execute(self._job, row).lastrowid
        self._connection.execute(self._event, {"now": now, "state": "available", "id": added})
        self._connection.execute("commit")
