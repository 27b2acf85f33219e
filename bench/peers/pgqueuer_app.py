"""The tasks, the client, and as a program the worker: `python -m … BATCH_SIZE`."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pgqueuer
import uvloop
from pgqueuer import Job, PgQueuer, Queries

from bench import marks
from bench.peers.python_peer import fast_loop

POOL = 20


async def pool() -> Any:
    return await asyncpg.create_pool(os.environ["BENCH_DATABASE_URL"], min_size=1, max_size=POOL)


@asynccontextmanager
async def make() -> AsyncIterator[PgQueuer]:
    """Give what a worker runs."""
    app = PgQueuer.from_asyncpg_pool(await pool())

    @app.entrypoint("noop")
    async def noop(_: Job) -> None:
        return None

    @app.entrypoint("mark")
    async def mark(job: Job) -> None:
        marks.mark(*json.loads(job.payload or b""))

    @app.entrypoint("stamp")
    async def stamp(job: Job) -> None:
        marks.stamp(*json.loads(job.payload or b""))

    yield app


class PgqueuerClient:
    """Enqueues through `Queries`."""

    def __init__(self) -> None:
        self._loop = fast_loop()
        self._queries = Queries.from_asyncpg_pool(self._loop.run_until_complete(pool()))

    def noop(self) -> None:
        self._loop.run_until_complete(self._queries.enqueue("noop", None))

    def noops(self, count: int) -> None:
        many = self._queries.enqueue(["noop"] * count, [None] * count, [0] * count)
        self._loop.run_until_complete(many)

    def concurrent(self, count: int) -> None:
        async def all_at_once() -> None:
            await asyncio.gather(*(self._queries.enqueue("noop", None) for _ in range(count)))

        self._loop.run_until_complete(all_at_once())

    def mark(self, path: str) -> None:
        self._send("mark", path)

    def stamp(self, path: str, sent: int) -> None:
        self._send("stamp", path, sent)

    def _send(self, name: str, *arguments: Any) -> None:
        payload = json.dumps(arguments).encode()
        self._loop.run_until_complete(self._queries.enqueue(name, payload))


if __name__ == "__main__":
    uvloop.run(pgqueuer.run(make, batch_size=int(sys.argv[1])))
