"""The store's clock: the host's wall clock, which here never goes backwards.

Leases and due times compare stored instants with this clock. When the host's clock is set
back, ours goes on from the highest instant it has shown, at half speed, until the host has
caught up: it neither stops (a lease would never end) nor returns (a lease would end late).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeAlias

Clock: TypeAlias = Callable[[], int]
"""Milliseconds since 1970 UTC."""

_ELAPSED: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""The clock of durations that also counts while the host is suspended, where there is one."""


class HostClock:
    """The wall clock, never going backwards. Safe to call from any thread."""

    def __init__(self) -> None:
        self._highest = 0, 0
        """The highest instant of the wall clock so far, and what `_ELAPSED` was then."""

    def __call__(self) -> int:
        wall, elapsed = time.time_ns() // 1_000_000, _elapsed()
        highest, at = self._highest
        least = highest + max(0, elapsed - at) // 2
        if wall < least:
            return least
        self._highest = wall, elapsed
        return wall

    def not_before(self, instant: int) -> None:
        """Start from `instant` at the earliest: what the store has seen already."""
        if instant > self._highest[0]:
            self._highest = instant, _elapsed()


def _elapsed() -> int:
    return time.clock_gettime_ns(_ELAPSED) // 1_000_000


def clamped(clock: Clock) -> Clock:
    """Return `clock`, but never going backwards."""
    shown = 0

    def never_back() -> int:
        nonlocal shown
        shown = max(shown, clock())
        return shown

    return never_back
