"""oban (the Python one) over psycopg's pool."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import uvloop
from oban import Job, Oban, worker
from oban.schema import install as install_schema

from bench.peers.apps import JOBS, AsyncClient, until_told

QUEUE = "bench"


@worker(queue=QUEUE)
class Run:
    """The one worker class: the job says which function."""

    async def process(self, job: Job) -> None:
        JOBS[job.args["name"]](*job.args["arguments"])


def install(url: str) -> None:
    asyncio.run(_install(url))


def connect(url: str) -> AsyncClient:
    return AsyncClient(partial(_Queue.connect, url))


def work(url: str, *, limit: int) -> None:
    uvloop.run(_work(url, limit))


async def _install(url: str) -> None:
    pool = await _pool(url)
    await install_schema(pool)
    await pool.close()


async def _work(url: str, limit: int) -> None:
    async with Oban(pool=await _pool(url), queues={QUEUE: limit}):
        await until_told()


async def _pool(url: str) -> Any:
    return await Oban.create_pool(dsn=url)


class _Queue:
    def __init__(self, oban: Oban) -> None:
        self._oban = oban

    @classmethod
    async def connect(cls, url: str) -> _Queue:
        return cls(Oban(pool=await _pool(url)))

    async def add(self, name: str, *arguments: Any) -> None:
        await self._oban.enqueue(_job(name, arguments))

    async def add_many(self, count: int) -> None:
        await self._oban.enqueue_many([_job("noop", ()) for _ in range(count)])


def _job(name: str, arguments: Any) -> Any:
    return Run.new({"name": name, "arguments": list(arguments)})  # type: ignore[attr-defined]
