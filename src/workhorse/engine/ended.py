"""Attempts that have ended in a child, until the store has written that down."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from workhorse.engine.clock import now
from workhorse.logs import log
from workhorse.store.protocol import TURN_BYTES, Settled, Turn
from workhorse.text import octets

if TYPE_CHECKING:
    from workhorse.domain.job import Claimed
    from workhorse.domain.transitions import Change


KEPT: Final = "a job that has ended is kept by another's open transaction"
HELD_UP: Final = 1.0
"""Seconds until an end is handed in again that another's transaction kept from being written."""


class Ended:
    """What waits to be settled, in the order it ended."""

    def __init__(self) -> None:
        self.waiting: list[Settled] = []
        """To be handed in by the next turn."""
        self._held_up: list[Settled] = []
        self._held_up_at = 0.0
        self._kept: set[tuple[int, int]] = set()
        """The (id, attempt) that the last turn they were handed in by did not write down."""

    def __bool__(self) -> bool:
        """Whether anything is not written down yet, or on its way in a turn."""
        return bool(self.waiting or self._held_up)

    def __iter__(self) -> Iterator[Settled]:
        """Yield what is not written down yet, nor on its way in a turn."""
        yield from self.waiting
        yield from self._held_up

    def add(self, job: Claimed, change: Change) -> None:
        """Keep how an attempt ended."""
        self.waiting.append(Settled(job.id, job.attempt, change))

    def take(self) -> list[Settled]:
        """Take what waits, from the first on, as far as one turn may carry it."""
        left = TURN_BYTES
        for place, one in enumerate(self.waiting):
            left -= octets(one.change.result or "")
            if left < 0 and place:
                taken, self.waiting = self.waiting[:place], self.waiting[place:]
                return taken
        taken, self.waiting = self.waiting, []
        return taken

    def put_back(self, taken: Sequence[Settled]) -> None:
        """Keep what a turn could not write down, before what has ended since."""
        self.waiting = [*taken, *self.waiting]

    def heed(self, turn: Turn, taken: Sequence[Settled], worker: int) -> None:
        """Keep for later what this turn did not write because another's transaction has it.

        That may be one of the store's own, for a moment: whoever looks after the worker is told of
        what is still kept at a later try.
        """
        if not (turn.held_up or self._kept):
            return
        held_up = set(turn.held_up)
        for one in taken:
            key = (one.id, one.attempt)
            if key in held_up:
                tell = log.warning if key in self._kept else log.debug
                tell(KEPT, job_id=one.id, attempt=one.attempt, worker=worker)
                self._held_up.append(one)
                self._held_up_at = now()
        self._kept.difference_update((one.id, one.attempt) for one in taken)
        self._kept |= held_up

    def hand_in_again(self, at: float) -> bool:
        """Let what is held up wait for the next turn, once it is time; tell whether it is."""
        if not self._held_up or at - self._held_up_at < HELD_UP:
            return False
        self.waiting += self._held_up
        self._held_up = []
        return True
