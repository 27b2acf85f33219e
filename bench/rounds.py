"""Rounds: within each, every scenario, and within that, every peer, one after the other.

Peers that are compared are measured within seconds of each other, so that a slow minute of the
machine hits them alike; ratios are taken within a round. Each round begins with another peer.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench import procs
from bench.measure import Figures
from bench.peers import PEERS
from bench.scenarios import Scenario, Size


class Cell(NamedTuple):
    """The figures of one peer in one scenario in one round."""

    scenario: str
    peer: str
    round: int
    figures: Figures
    foreign_cores: float
    """CPU that others used meanwhile, in cores: the noise this cell was measured in."""


def rounds(scenarios: Sequence[Scenario], size: Size, folder: Path) -> Iterator[Cell]:
    """Measure everything `size.rounds` times; a store is fresh for each figure."""
    for number in range(size.rounds):
        for scenario in scenarios:
            for name in rotated(scenario.peers, number):
                yield one(scenario, name, number, size, folder)


def one(scenario: Scenario, name: str, number: int, size: Size, folder: Path) -> Cell:
    """Measure one peer in one scenario, once."""
    peer = PEERS[name]
    with fresh_folder(folder / f"{scenario.name}-{name}") as store:
        peer.prepare(store)
        figures, foreign = quietly(lambda: scenario.run(peer, store, size))
    cell = Cell(scenario.name, name, number, figures, foreign)
    tell(cell)
    return cell


def quietly(run: Callable[[], Figures]) -> tuple[Figures, float]:
    """Run and return the figures, and how many cores others kept busy meanwhile."""
    start, busy, ours = time.monotonic(), procs.machine_busy_s(), procs.our_cpu_s()
    figures = run()
    foreign = (procs.machine_busy_s() - busy) - (procs.our_cpu_s() - ours)
    return figures, max(0.0, foreign / (time.monotonic() - start))


@contextmanager
def fresh_folder(folder: Path) -> Iterator[Path]:
    """Give an empty folder, with nothing left to be written to the disk; remove it afterwards."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.sync()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def rotated(names: Sequence[str], by: int) -> list[str]:
    """Return `names` beginning with another one each round."""
    by %= len(names)
    return [*names[by:], *names[:by]]


def tell(cell: Cell) -> None:
    """Say what was measured as soon as it is."""
    figures = "  ".join(f"{key} {value:,.2f}" for key, value in cell.figures.items())
    noise = f"  (others: {cell.foreign_cores:.1f} cores)" if cell.foreign_cores > 0.2 else ""
    print(f"{cell.round + 1}  {cell.scenario:<11} {cell.peer:<17} {figures}{noise}", flush=True)
    sys.stdout.flush()


def values(cells: Iterable[Cell], scenario: str, peer: str, figure: str) -> list[float]:
    """Return one figure of one peer, round by round."""
    return [c.figures[figure] for c in cells if (c.scenario, c.peer) == (scenario, peer)]
