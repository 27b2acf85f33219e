"""The threads of an app: what is awaited waits in them, and in none of the event loop's.

A program may use up the threads of its loop; then what it awaits of the app goes on all the same.
What writes and may have to wait for another's transaction holds up nothing that does not.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

from workhorse.domain.errors import Unavailable
from workhorse.store.driver import refuse_after_fork

P = ParamSpec("P")
T = TypeVar("T")

SIDE_BY_SIDE: Final = 4
"""Most looks at once, and most transactions of `aenqueue_many`: what PostgreSQL has room for."""


class Threads:
    """Started at need, ended by `close`, and left behind by a fork: see `refuse_after_fork`."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self.enqueue: tuple[Executor, Executor] = (_Pool(1, "enqueue"), _Pool(1, "enqueue"))
        """For `Coalescers`."""
        self._enqueue_many = _Pool(SIDE_BY_SIDE, "enqueue-many")
        self._look = _Pool(SIDE_BY_SIDE, "look")

    async def enqueue_many(self, store: Callable[[], T]) -> T:
        """Store many jobs, without blocking the running loop."""
        return await asyncio.get_running_loop().run_in_executor(self._enqueue_many, store)

    async def look(self, look: Callable[[], T]) -> T:
        """Look at what is stored, without blocking the running loop."""
        return await asyncio.get_running_loop().run_in_executor(self._look, look)

    def refuse_after_fork(self) -> None:
        """Raise `Unavailable` in a process that was forked since: it has none of the threads."""
        refuse_after_fork(self._pid)

    def close(self) -> None:
        """Wait for what is under way, and take on nothing more. Idempotent."""
        if os.getpid() == self._pid:
            for pool in (*self.enqueue, self._enqueue_many, self._look):
                pool.shutdown()


class _Pool(ThreadPoolExecutor):
    """Threads that say in our words why they take on nothing more."""

    def __init__(self, size: int, name: str) -> None:
        super().__init__(size, f"workhorse-{name}")
        self._closed = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        try:
            return super().submit(fn, *args, **kwargs)
        except RuntimeError as error:
            raise self._refusal(error) from error

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - as inherited
        self._closed = True
        super().shutdown(wait, cancel_futures=cancel_futures)

    def _refusal(self, error: RuntimeError) -> Unavailable:
        if self._closed:
            return Unavailable("The app was closed before this was begun.")
        if "interpreter shutdown" in str(error):
            return Unavailable(
                "The program is ending: nothing more of what is awaited is begun.",
                hint="`enqueue` and `result` still work.",
            )
        return Unavailable(f"No thread can be had for this: {error}.")
