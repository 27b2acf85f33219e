"""pgqueuer over asyncpg's pool: durable tables and its own tuning of autovacuum.

Its supervisor is called from here: its command line fails with today's typer.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

import asyncpg
import pgqueuer
import uvloop
from pgqueuer import Job, PgQueuer, Queries

from bench.peers.apps import JOBS, AsyncClient

POOL: Final = 20


def install(url: str) -> None:
    asyncio.run(_install(url))


def connect(url: str) -> AsyncClient:
    return AsyncClient(partial(_Queue.connect, url))


def work(url: str, *, batch_size: int) -> None:
    uvloop.run(pgqueuer.run(partial(_app, url), batch_size=batch_size))


async def _install(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        queries = Queries.from_asyncpg_connection(connection)
        await queries.install()
        await queries.optimize_autovacuum()
    finally:
        await connection.close()


@asynccontextmanager
async def _app(url: str) -> AsyncIterator[PgQueuer]:
    async with asyncpg.create_pool(url, min_size=1, max_size=POOL) as pool:
        app = PgQueuer.from_asyncpg_pool(pool)
        for name in JOBS:
            app.entrypoint(name)(_run)
        yield app


async def _run(job: Job) -> None:
    JOBS[job.entrypoint](*json.loads(job.payload or b"[]"))


class _Queue:
    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    @classmethod
    async def connect(cls, url: str) -> _Queue:
        pool = await asyncpg.create_pool(url, min_size=1, max_size=POOL)
        return cls(Queries.from_asyncpg_pool(pool))

    async def add(self, name: str, *arguments: Any) -> None:
        payload = json.dumps(arguments).encode() if arguments else None
        await self._queries.enqueue(name, payload)

    async def add_many(self, count: int) -> None:
        await self._queries.enqueue(["noop"] * count, [None] * count, [0] * count)
