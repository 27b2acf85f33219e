"""Peers in Python, one module each, all of one shape, so that `bench.app` can run them.

`install(url)` makes its tables where it needs any, `connect(url)` returns a client, and `work(url)`
is a worker that runs until it is told to end. A module imports its queue, so only a process
that means it imports the module.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from bench import marks


def noop() -> None:
    return None


JOBS: Final[dict[str, Callable[..., None]]] = {
    "noop": noop,
    "mark": marks.mark,
    "stamp": marks.stamp,
}


class Adds(Protocol):
    """A queue's own way to enqueue: one job by name, and many bare ones."""

    def add(self, name: str, *arguments: Any) -> object: ...

    def add_many(self, count: int) -> object: ...


class AddsLater(Protocol):
    """The same, for a queue whose client is asynchronous."""

    def add(self, name: str, *arguments: Any) -> Awaitable[object]: ...

    def add_many(self, count: int) -> Awaitable[object]: ...


class SyncClient:
    """`bench.peers.protocol.Client` over a queue whose client is synchronous."""

    def __init__(self, queue: Adds) -> None:
        self._queue = queue

    def noop(self) -> None:
        self._queue.add("noop")

    def noops(self, count: int) -> None:
        self._queue.add_many(count)

    def mark(self, path: str) -> None:
        self._queue.add("mark", path)

    def stamp(self, path: str, sent: int) -> None:
        self._queue.add("stamp", path, sent)


class AsyncClient:
    """`bench.peers.protocol.ConcurrentClient` over a queue whose client is asynchronous."""

    def __init__(self, connect: Callable[[], Awaitable[AddsLater]]) -> None:
        import uvloop

        self._loop = uvloop.new_event_loop()
        asyncio.set_event_loop(self._loop)
        self._queue = self._run(connect())

    def noop(self) -> None:
        self._run(self._queue.add("noop"))

    def noops(self, count: int) -> None:
        self._run(self._queue.add_many(count))

    def concurrent(self, count: int) -> None:
        async def all_at_once() -> None:
            await asyncio.gather(*(self._queue.add("noop") for _ in range(count)))

        self._run(all_at_once())

    def mark(self, path: str) -> None:
        self._run(self._queue.add("mark", path))

    def stamp(self, path: str, sent: int) -> None:
        self._run(self._queue.add("stamp", path, sent))

    def _run(self, awaitable: Awaitable[Any]) -> Any:
        return self._loop.run_until_complete(awaitable)


async def until_told() -> None:
    """Wait for SIGTERM."""
    import signal

    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    await told.wait()
