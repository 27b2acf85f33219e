"""When a child that ended may be started again, and when to give up: pure, time is an argument."""

from __future__ import annotations

from collections import deque
from typing import Final

from workhorse.domain.errors import ConfigurationError

LONGEST_WAIT: Final = 30.0
YOUNG: Final = 5.0
"""A child that lived for less died young."""
SAME_TROUBLE: Final = 3


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
        self.start_after = at + min(LONGEST_WAIT, self._delay * 2**self._young)
        self._young = min(self._young + 1, 10)


class Troubles:
    """Tells a passing trouble with starting from one that will not pass."""

    def __init__(self) -> None:
        self._same: list[str] = []

    def note(self, trouble: ConfigurationError) -> int:
        """Return how often this came in a row; raise it when it was often enough."""
        if self._same and self._same[-1] != trouble.message:
            self._same.clear()
        self._same.append(trouble.message)
        if len(self._same) >= SAME_TROUBLE:
            raise trouble
        return len(self._same)

    def clear(self) -> None:
        """A child has started."""
        self._same.clear()
