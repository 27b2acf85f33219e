"""How processes end: seeing to it and waiting for it on a loop, and saying it in words."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Final

from workhorse.logs import log

AGAIN: Final = 0.1
"""Seconds until what could not be done for want of a file descriptor or a thread is tried again."""


async def insist(end: Callable[[], object], threads: Executor | None = None) -> None:
    """Have a thread do what ends processes, again and again until it could look at them all."""
    told = False
    while True:
        try:
            await asyncio.get_running_loop().run_in_executor(threads, end)
        except (OSError, RuntimeError) as error:  # no descriptor or no thread, for a moment
            if not told:
                told = True
                log.warning("processes cannot be ended yet", error=str(error))
            await asyncio.sleep(AGAIN)
        else:
            return


def exit_of(pid: int) -> asyncio.Future[None]:
    """Return a future that is done when the process has ended (reaped or not)."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    fd = os.pidfd_open(pid)

    def ended() -> None:
        loop.remove_reader(fd)
        os.close(fd)
        if not future.done():
            future.set_result(None)

    loop.add_reader(fd, ended)
    return future


def signal_name(number: int) -> str:
    """Return ``SIGKILL`` for 9, and so on."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
