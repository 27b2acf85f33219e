"""bullmq's Python port: finished jobs are removed."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import uvloop
from bullmq import Queue, Worker

from bench.peers.apps import JOBS, AsyncClient, until_told

OPTIONS: Final = {"removeOnComplete": True}


def connect(url: str) -> AsyncClient:
    return AsyncClient(partial(_Queue.connect, url))


def work(url: str, *, concurrency: int) -> None:
    uvloop.run(_work(url, concurrency))


async def _work(url: str, concurrency: int) -> None:
    worker = Worker("bench", _run, {"connection": url, "concurrency": concurrency})
    await until_told()
    await worker.close(force=True)


async def _run(job: Any, _token: str) -> None:
    JOBS[job.name](*job.data)


class _Queue:
    def __init__(self, queue: Any) -> None:
        self._queue = queue

    @classmethod
    async def connect(cls, url: str) -> _Queue:
        return cls(Queue("bench", {"connection": url}))

    async def add(self, name: str, *arguments: Any) -> None:
        await self._queue.add(name, list(arguments), OPTIONS)

    async def add_many(self, count: int) -> None:
        await self._queue.addBulk([{"name": "noop", "data": [], "opts": OPTIONS}] * count)
