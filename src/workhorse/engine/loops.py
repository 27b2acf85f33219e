"""A loop that handlers share: what one does to it does not end the others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from workhorse.engine.forks import FORKS, end
from workhorse.logs import log

T = TypeVar("T")


def run_to_the_end(
    work: Coroutine[Any, Any, T],
    *,
    new_loop: Callable[[], asyncio.AbstractEventLoop] | None = None,
    passing: tuple[type[BaseException], ...] = (),
) -> T:
    """Run a loop until `work` is done, and return what it returns.

    `sys.exit` in a task, where a library parses arguments or a server gives up, leaves the loop at
    once, as Ctrl-C and `stop` do; the task has the exception then, and so has the handler that
    waits for it. The loop is entered again, unless the exception is one of `passing`, but not by
    what a handler has forked.
    """
    forks = FORKS.depth
    with asyncio.Runner(loop_factory=new_loop) as runner:
        loop = runner.get_loop()
        working = loop.create_task(work)
        while not working.done():
            try:
                runner.run(_wait_for(working))
            except passing:
                raise
            except (SystemExit, KeyboardInterrupt, RuntimeError) as error:
                if forks != FORKS.depth:
                    end(error)
                if loop.is_closed():
                    raise
                log.warning("a job would have ended the event loop", error=repr(error))
        return working.result()


async def _wait_for(task: asyncio.Task[Any]) -> None:
    """Wait; Ctrl-C ends this, and not whatever happens to run then, with an exception in it."""
    await asyncio.wait({task})
