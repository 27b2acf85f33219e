"""arq: results are not kept."""

from __future__ import annotations

from functools import partial
from typing import Any

import uvloop
from arq import Worker, create_pool, func
from arq.connections import RedisSettings

from bench.peers.apps import JOBS, AsyncClient


def connect(url: str) -> AsyncClient:
    return AsyncClient(partial(_Queue.connect, url))


def work(url: str, *, max_jobs: int) -> None:
    uvloop.run(_work(url, max_jobs))


async def _work(url: str, max_jobs: int) -> None:
    functions = [func(_async(name), name=name) for name in JOBS]
    settings = RedisSettings.from_dsn(url)
    worker = Worker(functions, redis_settings=settings, max_jobs=max_jobs, keep_result=0)
    await worker.async_run()


def _async(name: str) -> Any:
    async def run(_: Any, *arguments: Any) -> None:
        JOBS[name](*arguments)

    return run


class _Queue:
    def __init__(self, pool: Any) -> None:
        self._pool = pool

    @classmethod
    async def connect(cls, url: str) -> _Queue:
        return cls(await create_pool(RedisSettings.from_dsn(url)))

    async def add(self, name: str, *arguments: Any) -> None:
        await self._pool.enqueue_job(name, *arguments)

    async def add_many(self, count: int) -> None:
        for _ in range(count):
            await self.add("noop")
