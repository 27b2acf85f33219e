"""A loop that handlers share: what one does to it does not end the others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, TypeVar

from workhorse.engine.forks import FORKS, end
from workhorse.logs import log

T = TypeVar("T")
_NOTHING: Final = nullcontext()
_OF_A_TASK: Final = (SystemExit, KeyboardInterrupt, RuntimeError, asyncio.CancelledError)
"""What leaves the loop while `work` has not ended: of another task's making, or for its sake."""


def run_to_the_end(
    work: Coroutine[Any, Any, T],
    *,
    new_loop: Callable[[], asyncio.AbstractEventLoop] | None = None,
    passing: tuple[type[BaseException], ...] = (),
    before_cleanup: AbstractContextManager[object] = _NOTHING,
) -> T:
    """Run a loop until `work` is done, and return what it returns.

    `sys.exit` in a task, where a library parses arguments or a server gives up, leaves the loop at
    once, as Ctrl-C and `stop` do; the task has the exception then, and so has the handler that
    waits for it. The loop is entered again, unless the exception is one of `passing`, but not by
    what a handler has forked. Any other exception goes through `before_cleanup`; then what still
    runs on the loop is cancelled.
    """
    forks = FORKS.depth
    with asyncio.Runner(loop_factory=new_loop) as runner, before_cleanup:
        loop = runner.get_loop()
        working = loop.create_task(work)
        while not working.done():
            try:
                runner.run(_wait_for(working))
            except passing:
                raise
            except BaseException as error:
                if forks != FORKS.depth:
                    end(error)
                if loop.is_closed() or not isinstance(error, _OF_A_TASK):
                    raise
                log.warning("a job would have ended the event loop", error=repr(error))
        return working.result()


async def end_tasks(*tasks: asyncio.Task[Any] | None) -> None:
    """Cancel what is given, and wait until it has ended."""
    given = [task for task in tasks if task is not None]
    for task in given:
        task.cancel()
    if given:
        await asyncio.wait(given)


async def _wait_for(task: asyncio.Task[Any]) -> None:
    """Wait; Ctrl-C ends this, and not whatever happens to run then, with an exception in it."""
    hide_current()
    await asyncio.wait({task})


def hidden_task(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Run `work` as a task on this loop that is not one of `asyncio.all_tasks()`.

    There a handler looks for what it cancels, or waits for, when it shuts down what it takes for
    its own program. Whoever makes the task also ends it: the loop's end does not.
    """
    task = asyncio.get_running_loop().create_task(work)
    _hide(task)
    return task


def hide_current() -> None:
    """Have the task that runs now be hidden so."""
    task = asyncio.current_task()
    assert task is not None
    _hide(task)


def _hide(task: asyncio.Task[Any]) -> None:
    asyncio.tasks._unregister_task(task)  # noqa: SLF001 - meant for those who extend
