"""A child that ends at once: what was printed in it is written out, and nothing makes it wait."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from workhorse.engine.child import EXIT_COLLAPSE

COLLAPSE = """
from workhorse.engine.child import _collapse
from workhorse.logs import configure
configure()
with _collapse():
    raise KeyboardInterrupt
"""
ORPHANED = """
import asyncio, socket
from workhorse.engine.child import _obey
from workhorse.engine.frames import AsyncFrames

async def main():
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    frames = await AsyncFrames.over(ours)
    theirs.close()
    await _obey(frames, None)

asyncio.run(main())
"""
SAID = "print('said')\n"
HELD = """
import signal, sys, threading

class Held:
    def flush(self):
        threading.Event().wait()

sys.stdout = Held()
signal.signal(signal.SIGALRM, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
"""


def run(code: str) -> subprocess.CompletedProcess[bytes]:
    """Run it in a process whose output is buffered."""
    env = os.environ | {"PYTHONUNBUFFERED": ""}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=env, capture_output=True, timeout=30, check=False)


@pytest.mark.parametrize("end", [COLLAPSE, ORPHANED], ids=["collapse", "orphaned"])
def test_what_was_printed_is_written_out(end: str) -> None:
    """Also what is still in a buffer: it may say why."""
    ran = run(SAID + end)
    assert (ran.returncode, ran.stdout) == (EXIT_COLLAPSE, b"said\n"), ran.stderr


@pytest.mark.parametrize("end", [COLLAPSE, ORPHANED], ids=["collapse", "orphaned"])
def test_what_cannot_be_written_out_is_not_waited_for(end: str) -> None:
    """A thread that hangs may hold the lock of a stream, and a handler may have put any there."""
    ran = run(HELD + end)
    assert ran.returncode == -signal.SIGALRM, ran.stderr
