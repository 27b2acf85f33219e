"""Where claiming goes on when looking at everything would cost too much.

What claims leave behind in their index stays until the table is vacuumed, and while any
transaction of the server stays open it cannot even be marked as dead. Each look for the next job
passes all of it again: in a long flood each is slower than the one before. So a claim of many goes
on where the last one of its queue ended, and only now and then looks at everything again: for what
has become available behind it, or is more urgent. When the way has become long, any claim does.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

from workhorse.domain.job import Claimed
from workhorse.store.postgres.settling import array

MANY: Final = 100
"""A claim that got so many is one of a flood: the next goes on."""
OFTEN: Final = 0.1
"""Seconds between two looks at everything in a flood: what is urgent waits no longer for it."""
LOOK_AGAIN: Final = 100
"""Time between two when the way is long, by the length of such a look: it takes a hundredth."""
LATEST: Final = 5.0
"""Longest time between two, in seconds."""
DOUBTFUL: Final = 0.25
"""Longest after the first long one, in seconds: it may have been held up by something else."""
LONG: Final = 0.01
LONG_EACH: Final = 0.00005
"""A way is long when it takes so many seconds, and so many more for each job it gave."""
TELLING: Final = 2
"""So many long ways in a row say that it is the way."""

_START: Final = -(2**62), 0


class Position:
    """How far the claims of one process have come in each queue."""

    def __init__(self) -> None:
        self._reached: dict[str, tuple[int, int]] = {}
        self._long_ways = 0
        self._is_flood = False
        self._look_again_at = -math.inf
        self._from_start = True

    def start(self, queues: Sequence[str]) -> dict[str, Any]:
        """Return where the next claim starts, as parameters: a rank and an id for each queue."""
        late = time.monotonic() >= self._look_again_at
        self._from_start = late or not (self._is_flood or self._long_ways >= TELLING)
        return _parameters(
            _START if self._from_start else self._reached.get(q, _START) for q in queues
        )

    def reach(self, claimed: Sequence[Claimed], *, took: float, is_full: bool) -> bool:
        """Note how far the claim came, and in how many seconds; tell whether to look behind it."""
        if self._from_start:
            is_long = took > LONG + LONG_EACH * len(claimed)
            self._long_ways = self._long_ways + 1 if is_long else 0
            longest = LATEST if self._long_ways >= TELLING else DOUBTFUL
            wait = min(LOOK_AGAIN * took, longest) if is_long else OFTEN
            self._look_again_at = time.monotonic() + wait
        self._is_flood = len(claimed) >= MANY
        self._reached |= {job.queue: (-job.priority, job.id) for job in claimed}
        if self._from_start or is_full:
            return False
        self._look_again_at = -math.inf
        return True


def from_start(queues: Sequence[str]) -> dict[str, Any]:
    """Return the parameters of a claim that looks at everything."""
    return _parameters(_START for _ in queues)


def _parameters(places: Iterable[tuple[int, int]]) -> dict[str, Any]:
    known = list(places)
    return {"ranks": array(rank for rank, _ in known), "after": array(id for _, id in known)}
