"""Which queues an enqueue rings for: none that this process has rung for a moment ago."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from typing import Final

QUIET: Final = 0.005
"""Seconds after a ring during which this process does not ring for that queue again: a worker that
was rung looks again by itself after twice as long. With a ring in each commit, writers wait for one
another."""
QUEUES: Final = 1000
"""Of so many queues it is known when they were rung for; with more, some are rung for too often."""


class Ringing:
    """When this process has rung last, by queue. Threads may share it: it needs no lock."""

    def __init__(self) -> None:
        self._rung_at: dict[str, float] = {}

    def due(self, queues: Iterable[str]) -> frozenset[str]:
        """Return those of these queues to ring for, and take it that they are rung for now."""
        return frozenset(filter(self._is_due, queues))

    def _is_due(self, queue: str) -> bool:
        now = time.monotonic()
        if now - self._rung_at.get(queue, -math.inf) < QUIET:
            return False
        if len(self._rung_at) >= QUEUES:
            self._rung_at.clear()
        self._rung_at[queue] = now
        return True

    def undo(self, queues: Iterable[str]) -> None:
        """Take it that these were not rung for after all: the next enqueue rings."""
        for queue in queues:
            self._rung_at.pop(queue, None)
