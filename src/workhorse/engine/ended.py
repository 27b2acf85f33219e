"""Attempts that have ended in a child, until the store has written that down."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

import structlog

from workhorse.engine.clock import now
from workhorse.store.protocol import TURN_BYTES, Settled, Turn
from workhorse.text import octets

if TYPE_CHECKING:
    from workhorse.domain.job import Claimed
    from workhorse.domain.transitions import Change

log = structlog.get_logger("workhorse.worker")

HELD_UP: Final = 1.0
"""Seconds until an end is handed in again that another's transaction kept from being written."""


class Ended:
    """What waits to be settled, in the order it ended."""

    def __init__(self) -> None:
        self.waiting: list[Settled] = []
        """To be handed in by the next turn."""
        self._held_up: list[Settled] = []
        self._held_up_at = 0.0

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

    def heed(self, turn: Turn, taken: Sequence[Settled]) -> None:
        """Keep for later what this turn did not write because another's transaction has it."""
        if turn.held_up:
            held_up = set(turn.held_up)
            self._held_up += [one for one in taken if (one.id, one.attempt) in held_up]
            self._held_up_at = now()

    def hand_in_again(self, at: float, worker: int) -> bool:
        """Let what is held up wait for the next turn, once it is time; tell whether it is."""
        if not self._held_up or at - self._held_up_at < HELD_UP:
            return False
        for one in self._held_up:
            log.warning(
                "a job that has ended is kept by another's open transaction",
                job_id=one.id,
                attempt=one.attempt,
                worker=worker,
            )
        self.waiting += self._held_up
        self._held_up = []
        return True
