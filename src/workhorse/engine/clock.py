"""Durations and local deadlines, on the clock that also counts a suspended machine."""

from __future__ import annotations

import time

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def now() -> float:
    """Return seconds since boot: the same number in every process of this host."""
    return time.clock_gettime(_CLOCK)
