"""A process that a handler has forked may do as it likes, but not leave the handler.

One that did would go on as its parent: end its parent's job, wait for the next one, run its
parent's loop. It ends there at once instead, as a program does: with the status that a
`SystemExit` names, with 0 after a return, with 1 and a traceback after any other error.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
import traceback
from functools import partial
from typing import Any, Final, NoReturn

FLUSH_SECONDS: Final = 2
"""A process whose last words cannot be written is killed after so long: a thread that hangs, or
that a fork does not have, may hold the lock of their stream."""


class _Forks:
    """How many forks lie between this process and the one that counts them, and whose it is."""

    def __init__(self) -> None:
        self.depth = 0
        """Compare it with what it was when the handler was called."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._forker = threading.local()

    def watch(self) -> None:
        """Count forks from now on. Where nobody has called this, none is ever ended."""
        os.register_at_fork(before=self._before, after_in_child=self._in_child)

    def keep_to_parent(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have no fork of what runs on `loop` go on with the loop."""
        self._loop = loop

    def _before(self) -> None:
        self._forker.task = None
        with contextlib.suppress(RuntimeError):  # no loop runs in this thread
            self._forker.task = asyncio.current_task()

    def _in_child(self) -> None:
        self.depth += 1
        task: asyncio.Task[Any] | None = self._forker.task
        if task is None or task.get_loop() is not self._loop:
            return
        # The loop finds another task to be running than the one that now waits or ends, takes
        # that for a fault, and tells its handler of faults before anything else is run.
        with contextlib.suppress(RuntimeError):  # Python has seen to it itself
            asyncio.tasks._leave_task(self._loop, task)  # noqa: SLF001 - meant for those who extend
        self._loop.set_exception_handler(partial(_back_in_loop, task))


FORKS: Final = _Forks()


def _back_in_loop(
    task: asyncio.Task[Any], loop: asyncio.AbstractEventLoop, context: dict[str, Any]
) -> None:
    """End the fork, whose loop has gone on: as `task`, which made it, has ended, if it has."""
    if "handle" not in context:  # only told of, by what is thrown away for example
        loop.default_exception_handler(context)
    elif not task.done():
        end(RuntimeError("A fork of an async handler cannot wait in the loop of its parent."))
    elif task.cancelled():
        end(asyncio.CancelledError())
    else:
        end(task.exception())


def end(error: BaseException | None = None) -> NoReturn:
    """End this process as a program that ends so."""
    status = 1
    _limit_end()
    with contextlib.suppress(BaseException):
        status = _status(error)
    flush()
    os._exit(status)


def end_at_once(status: int) -> NoReturn:
    """End this process with what runs in it, but not before what was printed is written out."""
    _limit_end()
    flush()
    os._exit(status)


def _limit_end() -> None:
    """Have this process be killed if it has not ended soon."""
    with contextlib.suppress(BaseException):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
        signal.alarm(FLUSH_SECONDS)


def _status(error: BaseException | None) -> int:
    """Return what a program's exit status would be, and say what it would say."""
    if error is None:
        return 0
    if not isinstance(error, SystemExit):
        traceback.print_exception(error)
        return 1
    if error.code is None:
        return 0
    if isinstance(error.code, int):
        return error.code & 0xFF
    sys.stderr.write(f"{error.code}\n")
    return 1


def flush() -> None:
    """Write out what was printed, if there is still something to flush."""
    for name in ("stdout", "stderr", "__stdout__", "__stderr__"):  # a handler may have put others
        with contextlib.suppress(Exception):
            getattr(sys, name).flush()
