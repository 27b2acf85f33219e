"""The store's verbs on a thread of their own: the loop never waits for a disk."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from workhorse.domain.errors import Unavailable
from workhorse.engine.outage import Outage

P = ParamSpec("P")
T = TypeVar("T")


class OffLoop:
    """One thread that runs verbs in their order."""

    def __init__(self, name: str, *, give_up: Callable[[], bool]) -> None:
        """Name the thread; once `give_up` says so, what must happen need not any more."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"workhorse-{name}")
        self._give_up = give_up

    async def call(self, verb: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a verb; what it raises is the caller's."""
        return await asyncio.get_running_loop().run_in_executor(
            self._thread, partial(verb, *args, **kwargs)
        )

    async def patiently(self, verb: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a verb that must happen: while the store is out of reach, wait and try again.

        Raises `Unavailable` only when it is time to give up.
        """
        return await until_available(partial(self.call, verb, *args, **kwargs), self._give_up)


async def until_available(attempt: Callable[[], Awaitable[T]], give_up: Callable[[], bool]) -> T:
    """Return what `attempt` returns, made again while the store is out of reach.

    Raises `Unavailable` only when `give_up` says that it is time to.
    """
    outage = Outage()
    while True:
        try:
            return await attempt()
        except Unavailable as error:
            if give_up():
                raise
            await outage.wait(error)
