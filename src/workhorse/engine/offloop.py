"""The store's verbs on a thread of their own: neither the loop nor the exit waits for a disk."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from queue import SimpleQueue
from typing import Any, Final, ParamSpec, TypeVar

from workhorse.domain.errors import StoreGone, Unavailable
from workhorse.engine.outage import Outage

LAST_TRY: Final = 2.0
"""Seconds an attempt may still take when it is time to give up."""
P = ParamSpec("P")
T = TypeVar("T")


class OffLoop:
    """One daemon thread that runs verbs in their order, for the loop it was made on."""

    def __init__(self, name: str) -> None:
        """Start the thread."""
        self._loop = asyncio.get_running_loop()
        self._work: SimpleQueue[tuple[Callable[[], Any], asyncio.Future[Any]]] = SimpleQueue()
        threading.Thread(target=self._serve, name=f"workhorse-{name}", daemon=True).start()

    def _serve(self) -> None:
        while True:
            verb, future = self._work.get()
            result, error = None, None
            try:
                result = verb()
            except BaseException as raised:  # noqa: BLE001 - it is its caller's, who gets it
                error = raised
            with contextlib.suppress(RuntimeError):  # the loop ended first: nobody waits
                self._loop.call_soon_threadsafe(_answer, future, result, error)

    async def call(self, verb: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a verb; what it raises is the caller's."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._work.put((partial(verb, *args, **kwargs), future))
        return await future


def _answer(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():  # the caller has not waited for it
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


async def until_available(
    attempt: Callable[[], Awaitable[T]], give_up: Callable[[], bool], *, once: bool = False
) -> T:
    """Return what `attempt` returns, made again while the store is out of reach, unless `once`.

    Raises `Unavailable` only then, and when `give_up` says that it is time to; it then does not
    wait for an answer either, but for `LAST_TRY` seconds. Raises `StoreGone` at once.
    """
    outage = Outage()
    while True:
        try:
            return await _patiently(asyncio.ensure_future(attempt()), give_up)
        except Unavailable as error:
            if once or isinstance(error, StoreGone) or give_up():
                raise
            await outage.wait(error)


async def _patiently(answer: asyncio.Future[T], give_up: Callable[[], bool]) -> T:
    while not (await asyncio.wait({answer}, timeout=LAST_TRY))[0]:
        if give_up():
            answer.cancel()
            raise Unavailable("The store does not answer.")
    return answer.result()
