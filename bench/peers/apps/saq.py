"""saq on PostgreSQL."""

from __future__ import annotations

from functools import partial
from typing import Any

import uvloop
from saq import Queue, Worker

from bench.peers.apps import JOBS, AsyncClient


def install(url: str) -> None:
    uvloop.run(_install(url))


def connect(url: str) -> AsyncClient:
    return AsyncClient(partial(_Queue.connect, url))


def work(url: str, *, concurrency: int) -> None:
    uvloop.run(_work(url, concurrency))


async def _install(url: str) -> None:
    queue = Queue.from_url(url, name="bench")
    await queue.connect()
    await queue.disconnect()


async def _work(url: str, concurrency: int) -> None:
    queue = Queue.from_url(url, name="bench")
    await queue.connect()
    functions = [(name, _async(name)) for name in JOBS]
    await Worker(queue, functions, concurrency=concurrency).start()


def _async(name: str) -> Any:
    async def run(_: Any, *, arguments: list[Any]) -> None:
        JOBS[name](*arguments)

    return run


class _Queue:
    def __init__(self, queue: Any) -> None:
        self._queue = queue

    @classmethod
    async def connect(cls, url: str) -> _Queue:
        queue = Queue.from_url(url, name="bench")
        await queue.connect()
        return cls(queue)

    async def add(self, name: str, *arguments: Any) -> None:
        await self._queue.enqueue(name, arguments=list(arguments), ttl=-1, timeout=60)

    async def add_many(self, count: int) -> None:
        for _ in range(count):
            await self.add("noop")
