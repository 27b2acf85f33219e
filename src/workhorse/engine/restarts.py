"""When a child that ended may be started again, and when to give up: pure, time is an argument."""

from __future__ import annotations

from collections import deque
from typing import Final

from workhorse.domain.errors import ConfigurationError

LONGEST_WAIT: Final = 30.0
"""So long grows the wait between two children, unless it is longer from the start."""
YOUNG: Final = 5.0
"""A child that lived for less died young."""
ENOUGH_TROUBLE: Final = 3
"""After so many children in a row that could not import the app there will be no other."""


class Restarts:
    """Backs off while children die young, and counts deaths nobody wanted."""

    def __init__(self, delay: float, window: float) -> None:
        """Wait `delay` seconds at first; count the deaths of the last `window` seconds."""
        self._delay = delay
        self._window = window
        self._young = 0
        self._deaths: deque[float] = deque(maxlen=1000)
        self.start_after = 0.0
        """The instant before which no child is to be started."""

    def died(self, at: float) -> None:
        """Count a death nobody wanted."""
        self._deaths.append(at)

    def lately(self, at: float) -> int:
        """Return how many of those there were within the window."""
        return sum(1 for death in self._deaths if death > at - self._window)

    def back_off(self, at: float, lived: float) -> None:
        """Put off the next start, the longer the more children in a row died young."""
        if lived > max(YOUNG, self._delay):
            self._young = 0
            return
        longest = max(LONGEST_WAIT, self._delay)
        self.start_after = at + min(longest, self._delay * 2**self._young)
        self._young = min(self._young + 1, 10)


class Troubles:
    """Tells a passing trouble with importing the app from one that will not pass.

    What counts is that no child could meanwhile, not that each had the same reason: an address,
    a port or a time in its words makes every one another.
    """

    def __init__(self) -> None:
        self.times = 0
        """How often it came since a child could."""
        self._noted_at = float("-inf")
        self._reason = ""

    def note(self, trouble: ConfigurationError, *, started: float, at: float) -> str:
        """Count the trouble of a child; return its reason, of one just told the last line alone.

        Children that were started side by side fail side by side: that counts once.
        """
        if started >= self._noted_at:
            self.times += 1
            self._noted_at = at
        told, self._reason = self._reason, trouble.message
        shown = trouble.message.splitlines()[-1:] if told == trouble.message else [trouble.message]
        return " ".join(" ".join(shown).split())

    @property
    def will_not_pass(self) -> bool:
        """Whether it came often enough."""
        return self.times >= ENOUGH_TROUBLE

    def clear(self) -> None:
        """A child has imported the app."""
        self.times = 0
        self._reason = ""
