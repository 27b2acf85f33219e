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
    """The wall clock, never going backwards."""

    def __init__(self) -> None:
        self._shown = 0
        self._at = 0

    def __call__(self) -> int:
        wall = time.time_ns() // 1_000_000
        elapsed = time.clock_gettime_ns(_ELAPSED) // 1_000_000
        if wall < self._shown:
            wall = self._shown + max(0, elapsed - self._at) // 2
        self._shown, self._at = wall, elapsed
        return wall

    def not_before(self, instant: int) -> None:
        """Start from `instant` at the earliest: what the store has seen already."""
        if instant > self._shown:
            self._shown, self._at = instant, time.clock_gettime_ns(_ELAPSED) // 1_000_000


def clamped(clock: Clock) -> Clock:
    """Return `clock`, but never going backwards."""
    shown = 0

    def never_back() -> int:
        nonlocal shown
        shown = max(shown, clock())
        return shown

    return never_back
