"""On a machine that is shared: waiting until others leave it alone, and for how long they did."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from bench import procs

CALM: Final = 0.1
"""Cores that others may keep busy on a calm machine."""
LOOK: Final = 1.0
"""Seconds that a look at the machine takes."""


class Watch:
    """How many cores others have kept busy since it was made."""

    def __init__(self, *servers: int) -> None:
        """Count the processes under `servers` as ours, beside our own and what they started."""
        self._servers = servers
        self._start, self._before = time.monotonic(), self._others_s()

    def foreign_cores(self) -> float:
        busy = self._others_s() - self._before
        return max(0.0, busy / (time.monotonic() - self._start))

    def _others_s(self) -> float:
        servers = sum(map(procs.tree_ns, self._servers)) / 1e9
        return procs.machine_busy_s() - procs.our_cpu_s() - servers


def wait_for_calm(patience: float, sleep: Callable[[float], None] = time.sleep) -> bool:
    """Wait until others leave the machine alone; False when they have not in `patience` s."""
    limit = time.monotonic() + patience
    while time.monotonic() < limit:
        watch = Watch()
        sleep(LOOK)
        if watch.foreign_cores() <= CALM:
            return True
    return False
