"""A median and how far its rounds lay apart."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import NamedTuple


class Spread(NamedTuple):
    """Several rounds in three numbers."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{number(self.median)} ({number(self.low)}–{number(self.high)})"

    def times(self) -> str:
        """Write it as a ratio."""
        return f"{self.median:.2f}× ({self.low:.2f}–{self.high:.2f})"


def spread(values: Sequence[float]) -> Spread | None:
    """Return the spread of the rounds; None when there were none."""
    if not values:
        return None
    return Spread(statistics.median(values), min(values), max(values))


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Spread | None:
    """Return ours by theirs, round by round."""
    return spread([our / their for our, their in zip(ours, theirs, strict=False)])


def number(value: float) -> str:
    """Write a figure with as many digits as it is worth."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
