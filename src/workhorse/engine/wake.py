"""A push on the same host: "look now", by a datagram to whoever sleeps beside the store.

A ring is a hint and may be lost; polling alone is always correct. Sockets live in the store's
run folder, so processes that share the folder share the wake-up, in containers too.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
import weakref
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

_PREFIX: Final = "wake-"
_RING: Final = b"!"
_COARSE: Final = 2_000_000_000
"""Nanoseconds within which two changes of a folder may have one stamp: most filesystems tell
milliseconds apart, some only seconds. What is listed so soon after a change is listed again."""


class Wake:
    """Rings every sleeper beside one store. One that is let go of keeps nothing open."""

    def __init__(self, run_dir: Path | None) -> None:
        """Ring in `run_dir`; with None (a store without a folder) a ring does nothing."""
        self._dir = run_dir
        self._bells: _Bells | None = None

    def ring(self) -> None:
        """Tell every sleeper to look now. Never blocks, never raises."""
        if self._dir is None:
            return
        with contextlib.suppress(OSError):
            bells = self._bells
            if bells is None or bells.pid != os.getpid():
                bells = self._bells = _Bells(self._dir)
            bells.ring()

    def close(self) -> None:
        """Let go of the folder. A later ring opens it again."""
        self._bells = None


class _Bells:
    """The folder, opened by one process, and what it rings with; closed when nobody has it.

    So threads need no lock: who rings while another closes, or opens it too, has his own.
    """

    def __init__(self, folder: Path) -> None:
        self.pid = os.getpid()
        self._stamp = -1
        self._names: list[str] = []
        with ExitStack() as files:
            self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            files.callback(os.close, self._folder)
            self._socket = files.enter_context(
                socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            )
            weakref.finalize(self, files.pop_all().close).atexit = False

    def ring(self) -> None:
        asked, stamp = time.time_ns(), os.stat(self._folder).st_mtime_ns
        if stamp != self._stamp:
            self._names = [name for name in os.listdir(self._folder) if name.startswith(_PREFIX)]
            self._stamp = stamp if asked - stamp > _COARSE else -1
        for name in self._names:
            with contextlib.suppress(OSError):
                self._socket.sendto(_RING, f"/proc/self/fd/{self._folder}/{name}")


class Sleeper:
    """One who can be rung: a socket in the run folder."""

    def __init__(self, run_dir: Path, name: str) -> None:
        """Bind the socket; `name` must be this process's alone."""
        self._path = run_dir / f"{_PREFIX}{name}.sock"
        folder = os.open(run_dir, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            self._path.unlink(missing_ok=True)
            self.socket.bind(f"/proc/self/fd/{folder}/{self._path.name}")
        finally:
            os.close(folder)

    def drain(self, then: Callable[[], None]) -> None:
        """Read away every ring that came, then call `then` once."""
        with contextlib.suppress(OSError):
            while self.socket.recv(16):
                pass
        then()

    def close(self) -> None:
        """Stop being rung."""
        self.socket.close()
        self._path.unlink(missing_ok=True)


def sweep_sockets(run_dir: Path) -> None:
    """Remove the sockets of sleepers that died without closing: nobody is bound to them.

    Every ring would go to them, too. Never raises: what cannot be swept now is the next time.
    """
    with contextlib.suppress(OSError):
        for path in run_dir.glob(f"{_PREFIX}*.sock"):
            if _is_dead(path):
                path.unlink(missing_ok=True)


def _is_dead(path: Path) -> bool:
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as probe:
            probe.connect(f"/proc/self/fd/{folder}/{path.name}")
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    finally:
        os.close(folder)
    return False
