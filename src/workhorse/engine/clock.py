"""Durations and local deadlines, on the clock that also counts a suspended machine; waiting."""

from __future__ import annotations

import asyncio
import time

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def now() -> float:
    """Return seconds since boot: the same number in every process of this host."""
    return time.clock_gettime(_CLOCK)


async def happens(event: asyncio.Event, within: float) -> bool:
    """Wait for `event`, at most so many seconds; tell whether it came."""
    try:
        async with asyncio.timeout(within):
            return await event.wait()
    except TimeoutError:
        return False
