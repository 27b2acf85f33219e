"""What must hold, as data: `python -m bench --gate` fails when something here falls short."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from bench.rounds import Cell, values
from bench.spread import Spread, ratio, spread

Cells = Sequence[Cell]
Figure = Callable[[Cells], Spread | None]


class Floor(NamedTuple):
    """One figure with its bound; `at_most` turns the floor into a ceiling."""

    name: str
    bound: float
    unit: str
    figure: Figure
    at_most: bool = False

    def holds(self, found: Spread) -> bool:
        """Judge the median of the rounds."""
        return found.median <= self.bound if self.at_most else found.median >= self.bound

    def verdict(self, found: Spread | None) -> str:
        """Say in one line how it stands."""
        sign = "≤" if self.at_most else "≥"
        want = f"{self.name}: {sign} {self.bound:g} {self.unit}".rstrip()
        if found is None:
            return f"  ?    {want}: not measured"
        word = "ok  " if self.holds(found) else "SHORT"
        return f"  {word:<5}{want}: {found} {self.unit}".rstrip()


def compared(scenario: str, ours: str, theirs: str, figure: str, cells: Cells) -> Spread | None:
    """Return one figure of two peers, ours by theirs, paired by round."""
    return ratio(values(cells, scenario, ours, figure), values(cells, scenario, theirs, figure))


def plain(scenario: str, peer: str, figure: str, cells: Cells) -> Spread | None:
    """Return one figure of one peer."""
    return spread(values(cells, scenario, peer, figure))


US = "workhorse-full"
FLOORS = (
    Floor(
        "drain, by huey's at FULL",
        6.0,
        "×",
        partial(compared, "drain", US, "huey-full", "per_second"),
    ),
    Floor("enqueue in bulk", 100_000, "jobs/s", partial(plain, "bulk", US, "per_second")),
    Floor(
        "enqueue one by one, by huey's at FULL",
        1.2,
        "×",
        partial(compared, "one_by_one", US, "huey-full", "per_second"),
    ),
    Floor("pick-up p50", 2.0, "ms", partial(plain, "latency", US, "p50"), at_most=True),
    Floor("pick-up p99", 10.0, "ms", partial(plain, "latency", US, "p99"), at_most=True),
    Floor(
        "worker child, peak RSS", 60.0, "MiB", partial(plain, "drain", US, "rss_mib"), at_most=True
    ),
    Floor(
        "drain on top of the history, by the empty store's",
        0.85,
        "×",
        partial(compared, "scale", "history", "empty", "per_second"),
    ),
    Floor(
        "drain above the backlog, by the empty store's",
        0.85,
        "×",
        partial(compared, "scale", "backlog", "empty", "per_second"),
    ),
    Floor(
        "drains in a row, last by first",
        0.9,
        "×",
        partial(compared, "in_a_row", "last", "first", "per_second"),
    ),
)


def judge(cells: Cells) -> tuple[list[str], list[str]]:
    """Return a line for every floor, and the names of those that were missed or not measured."""
    lines, short = [], []
    for floor in FLOORS:
        found = floor.figure(cells)
        lines.append(floor.verdict(found))
        if found is None or not floor.holds(found):
            short.append(floor.name)
    return lines, short
