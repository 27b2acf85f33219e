"""How processes end: waiting for it on a loop, and saying it in words."""

from __future__ import annotations

import asyncio
import os
import signal


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
