"""How many jobs a child claims: what it has room for, and in a flood a little ahead. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from workhorse.store.protocol import TURN_BYTES, args_bytes

if TYPE_CHECKING:
    from workhorse.domain.job import Claimed

BATCH: Final = 2000
"""Most jobs claimed in one turn."""
AHEAD: Final = 0.1
"""Jobs are claimed ahead of free slots for so many seconds, at the rate they lately ended."""
RATE_WINDOW: Final = 0.01
"""Seconds after which that rate is taken anew, at the latest: a flood is seen once it is one."""
TURNOVER: Final = 2
"""Times each slot must have been freed in that window: slow jobs are never claimed ahead."""
FLOOD: Final = 250
"""Jobs for which one claims beside a flush, and ended jobs for which a flush goes on."""


class Appetite:
    """What one child may claim, judged by what it has claimed and how fast that ended."""

    def __init__(self, slots: int, at: float, *, solo: bool, overlaps: bool) -> None:
        """Begin at the instant `at`, in seconds. One at a time if `solo`; `overlaps` as a store."""
        self.ahead = 0
        """Jobs to have at hand beyond those that run."""
        self._slots = slots
        self._solo = solo
        self._overlaps = overlaps
        self._most_ahead = BATCH
        """One turn's jobs; in a flood of one sort, where others run while a turn claims, two's."""
        self._job_bytes = 1
        """Of the arguments of a job, on average, in the last claim."""
        self._rated_at = at
        self._rated_finished = 0

    def limit(self, room: int) -> int:
        """Return the most jobs to claim when `room` more could start at once; 0 for none."""
        most = min(room + self.ahead, BATCH, max(1, TURN_BYTES // self._job_bytes))
        return max(most, 0)

    def has_plenty(self, ready: int) -> bool:
        """Whether, with `ready` at hand, a claim beside a flush can wait: it is for hundreds.

        It does not wait for longer: what is ready is run several times as fast as it is claimed.
        """
        return ready > max(self.ahead // 2, self.ahead - FLOOD)

    def learn(self, claimed: Sequence[Claimed]) -> None:
        """Take note of a claim that found something."""
        self._job_bytes = args_bytes(claimed) // len(claimed) or 1
        self._most_ahead = 2 * BATCH if self._overlaps and _alike(claimed) else BATCH

    def judge(self, at: float, finished: int) -> None:
        """Judge how many jobs will be wanted before the next turn is through.

        `finished` is how many have ended since the child's start.
        """
        elapsed, ended = at - self._rated_at, finished - self._rated_finished
        turned_over = ended > TURNOVER * self._slots
        if turned_over or elapsed >= RATE_WINDOW:
            flood = turned_over and not self._solo
            ahead = min(int(ended * AHEAD / elapsed), self._most_ahead) if flood else 0
            # Few may have ended because there were none left to run: that says little.
            self.ahead = max(ahead, self.ahead * 3 // 4)
            self._rated_at, self._rated_finished = at, finished


def _alike(claimed: Sequence[Claimed]) -> bool:
    """Whether jobs that were claimed together are of one queue and priority: a flood goes on."""
    first, last = claimed[0], claimed[-1]
    return (first.queue, first.priority) == (last.queue, last.priority)
