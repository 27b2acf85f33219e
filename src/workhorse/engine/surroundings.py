"""What a handler finds in its process, and the next one there would find if it left it changed."""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

_SIGNALS: Final = tuple(signal.valid_signals())
_TIMERS: Final = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
_LIMITS: Final = tuple(
    sorted({getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")})
)


class Surroundings(NamedTuple):
    """What one process has one of, for all that runs in it. Made by `look`, compared with ``==``.

    What differs need not be all: what a module holds is not looked at, nor what native code
    keeps to itself.
    """

    folder: Any
    status: Any
    environment: Mapping[str, str]
    handlers: Any
    timers: Any
    streams: Any
    limits: Any

    @classmethod
    def look(cls) -> Surroundings:
        """Return what is there now."""
        return cls(
            folder=_folder(),
            status=_status(),
            environment=dict(os.environ),
            handlers=[signal.getsignal(number) for number in _SIGNALS],
            timers=[_timer(which) for which in _TIMERS],
            streams=[_stream(name) for name in ("stdout", "stderr")] + [_place(1), _place(2)],
            limits=[resource.getrlimit(which) for which in _LIMITS],
        )

    def are_left(self) -> bool:
        """Whether everything is still as it was."""
        try:
            return Surroundings.look() == self
        except Exception:  # noqa: BLE001 - whatever stands there now, it is not what stood there
            return False


def _folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it has been removed
        return None


def _place(descriptor: int) -> tuple[int, int] | None:
    """Return what tells the file behind a descriptor from others; None if it is closed."""
    try:
        found = os.fstat(descriptor)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _status() -> list[bytes]:
    """Return the umask and the blocked signals, as the kernel writes them.

    `os.umask` can only be asked by setting it, for every thread.
    """
    try:
        with open("/proc/self/status", "rb") as file:
            return [line for line in file if line.startswith((b"Umask:", b"SigBlk:"))]
    except OSError:
        return []


def _timer(which: int) -> tuple[bool, float]:
    """Return whether a timer runs, and how often it does; not how far it is."""
    left, interval = signal.getitimer(which)
    return left > 0, interval


def _stream(name: str) -> tuple[object, object]:
    """Return one of `sys`, and whether it is closed: it may be anything an app put there."""
    stream = getattr(sys, name, None)
    try:
        return stream, stream.closed  # type: ignore[union-attr]
    except Exception:  # noqa: BLE001 - of whatever class it is
        return stream, None
