"""One writer at a time among the processes of a host, each waiting its turn a bounded time.

SQLite's own lock has no queue: a waiter sleeps a fixed ladder of naps and may starve, then the
caller reads "database is locked". This lock is taken before SQLite's, for writes and for
checkpoints alike, so SQLite's is always free when we come to it, and two processes never reset
the log together (the defect of SQLite before 3.51.3 needs that).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from workhorse.domain.errors import Unavailable

PATIENCE: Final = 10.0
"""Longest wait for the turn to write, in seconds."""

_NAP: Final = 0.0002, 0.005
"""Shortest and longest sleep between two looks, in seconds; each is jittered."""


class Gate:
    """An flock on a file of its own: freed by the kernel when its holder dies. Not reentrant."""

    def __init__(self, path: Path, *, patience: float = PATIENCE) -> None:
        self._path = path
        self._patience = patience
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def __enter__(self) -> Self:
        if not self._try():
            self._wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        fcntl.flock(self._file, fcntl.LOCK_UN)

    def note(self) -> int:
        """Return the number that the last holder left for the next, 0 when none did."""
        with contextlib.suppress(OSError):
            return int.from_bytes(os.pread(self._file, 8, 0), "little")
        return 0

    def leave_note(self, number: int) -> None:
        """Leave a number for who holds the gate next, in whatever process; a full disk has none."""
        with contextlib.suppress(OSError):
            os.pwrite(self._file, number.to_bytes(8, "little"), 0)

    def close(self) -> None:
        """Let go of the file. Idempotent."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _try(self) -> bool:
        if self._file < 0:
            raise Unavailable("The store is closed.")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _wait(self) -> None:
        deadline = time.monotonic() + self._patience
        nap, longest = _NAP
        while time.monotonic() < deadline:
            time.sleep(random.uniform(0.5, 1.5) * nap)
            if self._try():
                return
            nap = min(nap * 1.5, longest)
        raise Unavailable(
            f"The store is busy: no turn to write within {self._patience:g} s.",
            hint=f"Another process holds {self._path}.",
        )
