"""pgqueuer over asyncpg's pool, at a chosen batch size: durable tables, its tuned autovacuum."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.peers.on_postgres import OnPostgres, url
from bench.peers.protocol import Client, Command
from bench.peers.python_peer import PythonPeer


class Pgqueuer(OnPostgres, PythonPeer):
    """pgqueuer, run by its own supervisor: its command line fails with today's typer."""

    package = "pgqueuer"
    look = "select from pgqueuer limit 1"

    def __init__(self, name: str, *, batch: int, without: frozenset[str] = frozenset()) -> None:
        super().__init__(name, without=without)
        self.batch = batch

    def settings(self) -> Mapping[str, Any]:
        return {
            "driver": "asyncpg pool",
            "batch_size": self.batch,
            "durability": "durable",
            "autovacuum": "its own",
            "loop": "uvloop",
        }

    def install(self, folder: Path) -> None:
        asyncio.run(_install(url(folder)))

    def open(self) -> Client:
        from bench.peers import pgqueuer_app

        return pgqueuer_app.PgqueuerClient()

    def worker(self, folder: Path) -> Command:
        arguments = [sys.executable, "-m", "bench.peers.pgqueuer_app", str(self.batch)]
        return Command(arguments, self.environment(folder))


async def _install(url: str) -> None:
    import asyncpg
    from pgqueuer import Queries

    connection = await asyncpg.connect(url)
    try:
        queries = Queries.from_asyncpg_connection(connection)
        await queries.install()
        await queries.optimize_autovacuum()
    finally:
        await connection.close()
