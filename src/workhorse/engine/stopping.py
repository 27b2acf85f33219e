"""How a worker is told to stop, and the timetable that follows; time is an argument."""

from __future__ import annotations

import asyncio

from workhorse.engine.board import NEVER
from workhorse.engine.clock import happens


class Stopping:
    """First told, a worker drains within its grace; told again it waits no longer.

    From `abandon_at` on handlers are told to end; from `kill_at` on their processes are killed.
    Both lie within the grace, which begins when it is first told.
    """

    def __init__(self, grace: float, cancel_grace: float) -> None:
        """Allow `grace` seconds in all, of which handlers get up to `cancel_grace` to end."""
        self._grace = grace
        self._cut = min(cancel_grace, grace / 4)
        self._cancel_grace = cancel_grace
        self.abandon_at = NEVER
        self.kill_at = NEVER
        self._asked = asyncio.Event()

    @property
    def is_asked(self) -> bool:
        """Whether it was told to stop."""
        return self._asked.is_set()

    async def wait(self) -> None:
        """Return when it has been told to stop."""
        await self._asked.wait()

    async def nap(self, seconds: float) -> None:
        """Sleep so long, or until told to stop."""
        await happens(self._asked, seconds)

    def begin(self, at: float) -> None:
        """Drain, if that has not begun."""
        if not self.is_asked:
            self.abandon_at = at + self._grace - 2 * self._cut
            self.kill_at = at + self._grace - self._cut
            self._asked.set()

    def ask(self, at: float) -> None:
        """Told once: drain. Told twice: end handlers now. A third time: kill them."""
        if not self.is_asked:
            self.begin(at)
        elif at < self.abandon_at:
            self.abandon_at = at
            self.kill_at = min(self.kill_at, at + self._cancel_grace)
        else:
            self.kill_at = min(self.kill_at, at)

    def at_once(self, at: float) -> None:
        """Kill handlers now."""
        self.begin(at)
        self.abandon_at = self.kill_at = at

    def is_over(self, at: float) -> bool:
        """Whether the whole grace has passed."""
        return at >= self.kill_at + self._cut
