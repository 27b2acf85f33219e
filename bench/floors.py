"""What must hold, as data: `python -m bench --gate` fails when something here falls short."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple

from bench.rounds import Cell
from bench.spread import Spread, ratio, spread

Cells = Sequence[Cell]


class Floor(NamedTuple):
    """One figure with its bound; `at_most` turns the floor into a ceiling."""

    name: str
    bound: float
    unit: str
    figure: Callable[[Cells], Spread | None]
    at_most: bool = False

    def holds(self, found: Spread | None) -> bool:
        """Judge the median of the rounds; what was not measured does not hold."""
        if found is None:
            return False
        return found.median <= self.bound if self.at_most else found.median >= self.bound

    def verdict(self, found: Spread | None) -> str:
        """Say in one line how it stands."""
        sign = "≤" if self.at_most else "≥"
        want = f"{self.name} {sign} {self.bound:,g} {self.unit}"
        if found is None:
            return f"?      {want}: not measured"
        return f"{'ok' if self.holds(found) else 'SHORT':<6} {want}: {found}"


def values(
    cells: Cells, scenario: str, peer: str, figure: str, store: str = "empty"
) -> list[float]:
    """Return one figure of one peer, round by round."""
    wanted = (scenario, peer, store)
    found = [cell for cell in cells if (cell.scenario, cell.peer, cell.store) == wanted]
    return [cell.figures[figure] for cell in sorted(found, key=lambda cell: cell.round)]


def plain(
    scenario: str, peer: str, figure: str, cells: Cells, store: str = "empty"
) -> Spread | None:
    """Return one figure of one peer."""
    return spread(values(cells, scenario, peer, figure, store))


def compared(scenario: str, ours: str, theirs: str, figure: str, cells: Cells) -> Spread | None:
    """Return one figure of two peers, ours by theirs, paired by round."""
    return ratio(values(cells, scenario, ours, figure), values(cells, scenario, theirs, figure))


def by_best(
    scenario: str, ours: str, theirs: Sequence[str], figure: str, cells: Cells
) -> Spread | None:
    """Return one figure of ours by the highest of theirs, paired by round."""
    rows = [values(cells, scenario, their, figure) for their in theirs]
    if not all(rows):
        return None
    return ratio(
        values(cells, scenario, ours, figure), [max(best) for best in zip(*rows, strict=False)]
    )


def grown(peer: str, store: str, cells: Cells) -> Spread | None:
    """Return the drain of a large store, by the empty one's, paired by round."""
    large = values(cells, "scale", peer, "per_second", store)
    return ratio(large, values(cells, "scale", peer, "per_second"))


def slowed(peer: str, cells: Cells) -> Spread | None:
    """Return the slowest claims beside a long transaction, by those without one."""
    late = values(cells, "snapshot", peer, "p99", "snapshot")
    return ratio(late, values(cells, "snapshot", peer, "p99"))


def last_by_first(peer: str, cells: Cells) -> Spread | None:
    """Return the last of the drains in a row, by the first."""
    row = values(cells, "in_a_row", peer, "per_second")
    return ratio(row[-1:], row[:1])


_US: Final = "workhorse-full"
_HUEY: Final = "huey-full"

_ON_SQLITE: Final = (
    Floor("drain, by huey's", 6.0, "×", partial(compared, "drain", _US, _HUEY, "per_second")),
    Floor("enqueue in bulk", 100_000, "jobs/s", partial(plain, "bulk", _US, "per_second")),
    Floor(
        "enqueue one by one, by huey's",
        1.2,
        "×",
        partial(compared, "one_by_one", _US, _HUEY, "per_second"),
    ),
    Floor("pick-up p50", 2.0, "ms", partial(plain, "latency", _US, "p50"), at_most=True),
    Floor("pick-up p99", 10.0, "ms", partial(plain, "latency", _US, "p99"), at_most=True),
    Floor("child's peak RSS", 60.0, "MiB", partial(plain, "drain", _US, "rss_mib"), at_most=True),
    Floor("drain above a long history", 0.85, "× the empty", partial(grown, _US, "history")),
    Floor("drain above a long queue", 0.85, "× the empty", partial(grown, _US, "backlog")),
    Floor("last drain in a row", 0.9, "× the first", partial(last_by_first, _US)),
)
"""All at synchronous=FULL."""

_PG: Final = "workhorse-pg"
_PGQUEUER: Final = ("pgqueuer-1000", "pgqueuer-100")
_IN_BULK: Final = ("pgqueuer-1000", "graphile-worker", "pg-boss", "oban", "procrastinate")

_ON_POSTGRES: Final = (
    Floor(
        "PostgreSQL: drain, by pgqueuer's",
        2.5,
        "×",
        partial(by_best, "drain", _PG, _PGQUEUER, "per_second"),
    ),
    Floor(
        "PostgreSQL: drain, by graphile-worker's",
        1.2,
        "×",
        partial(compared, "drain", _PG, "graphile-worker", "per_second"),
    ),
    Floor(
        "PostgreSQL: drain of a long queue by two processes, by one's",
        1.2,
        "×",
        partial(compared, "long_drain", f"{_PG}-2", _PG, "per_second"),
    ),
    Floor(
        "PostgreSQL: enqueue one by one, by pgqueuer's",
        2.0,
        "×",
        partial(compared, "one_by_one", _PG, "pgqueuer-1000", "per_second"),
    ),
    Floor(
        "PostgreSQL: enqueue by concurrent calls",
        20_000,
        "jobs/s",
        partial(plain, "concurrent", _PG, "per_second"),
    ),
    Floor(
        "PostgreSQL: enqueue in bulk, by the best peer's",
        2.0,
        "×",
        partial(by_best, "bulk", _PG, _IN_BULK, "per_second"),
    ),
    Floor(
        "PostgreSQL: pick-up p50", 3.0, "ms", partial(plain, "latency", _PG, "p50"), at_most=True
    ),
    Floor(
        "PostgreSQL: pick-up p99", 15.0, "ms", partial(plain, "latency", _PG, "p99"), at_most=True
    ),
    Floor(
        "PostgreSQL: CPU of worker and server for 1,000 jobs",
        60.0,
        "ms",
        partial(plain, "drain", _PG, "cpu_ms_per_1000"),
        at_most=True,
    ),
    Floor(
        "PostgreSQL: drain above a long queue", 0.85, "× the empty", partial(grown, _PG, "backlog")
    ),
    Floor(
        "PostgreSQL: drain above a long history", 0.9, "× the empty", partial(grown, _PG, "history")
    ),
    Floor(
        "PostgreSQL: slowest claims beside a long transaction",
        5.0,
        "× those without",
        partial(slowed, _PG),
        at_most=True,
    ),
    Floor("PostgreSQL: last drain in a row", 0.9, "× the first", partial(last_by_first, _PG)),
)
"""All with fsync on, and synchronous_commit on but for a claim, which is a lease."""

FLOORS: Final[Mapping[str, Sequence[Floor]]] = {"sqlite": _ON_SQLITE, "postgres": _ON_POSTGRES}
"""By the store they hold for."""


def judge(cells: Cells, stores: Iterable[str] = FLOORS) -> tuple[list[str], list[str]]:
    """Return a line for every floor of these stores, and which were missed or not measured."""
    floors = [floor for store in stores for floor in FLOORS.get(store, ())]
    found = [(floor, floor.figure(cells)) for floor in floors]
    lines = [floor.verdict(figure) for floor, figure in found]
    return lines, [floor.name for floor, figure in found if not floor.holds(figure)]
