"""Rounds: within each, every scenario, and within that, every peer, one after the other.

Peers that are compared are measured within seconds of each other, so that a slow minute of the
machine hits them alike; ratios are taken within a round. Each round begins with another peer.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from bench.calm import Watch, wait_for_calm
from bench.measure import Figures, Stuck
from bench.peers.protocol import Peer
from bench.scenarios import Scenario, Size

T = TypeVar("T")

DISTURBED: Final = 0.2
"""Cores that others may keep busy in a measurement that counts as calm."""
ATTEMPTS: Final = 4
OURS: Final = "workhorse"
"""Begins the names of our own peers."""


class Cell(NamedTuple):
    """The figures of one peer in one scenario in one round."""

    scenario: str
    peer: str
    round: int
    figures: Figures
    foreign_cores: float
    """CPU that others used meanwhile, in cores: the noise this cell was measured in."""
    store: str = "empty"
    """What the store held before."""


def rounds(
    scenarios: Sequence[Scenario], peers: Sequence[Peer], size: Size, folder: Path
) -> Iterator[Cell]:
    """Measure everything `size.rounds` times; a store is fresh for each figure.

    What another queue cannot do is said, and left out; what we cannot do ends the run.
    """
    for number in range(size.rounds):
        for scenario in scenarios:
            taking_part = list(filter(scenario.is_for, peers))
            for peer in rotated(taking_part, number):
                try:
                    yield one(scenario, peer, number, size, folder)
                except Stuck as error:
                    if peer.name.startswith(OURS):
                        raise
                    print(f"{scenario.name} FAILED for {peer.name}: {error}", file=sys.stderr)


def one(scenario: Scenario, peer: Peer, number: int, size: Size, folder: Path) -> Cell:
    """Measure one peer in one scenario, once."""

    def attempt() -> Cell:
        with fresh_folder(folder / f"{scenario.name}-{peer.name}") as store:
            peer.prepare(store)
            try:
                figures, foreign = watched(peer, lambda: scenario.run(peer, store, size))
            finally:
                peer.remove(store)
        return Cell(scenario.name, peer.name, number, figures, foreign)

    return told(least_disturbed(attempt, size))


def watched(peer: Peer, run: Callable[[], Figures]) -> tuple[Figures, float]:
    """Run and return the figures, and how many cores others kept busy meanwhile."""
    watch = Watch(*peer.servers())
    figures = run()
    return figures, watch.foreign_cores()


def least_disturbed(attempt: Callable[[], Cell], size: Size) -> Cell:
    """Measure, when asked to at a calm moment, and again while others disturb it.

    What is kept is chosen by what others did, never by what was found.
    """
    cells = []
    for _ in range(ATTEMPTS if size.calm else 1):
        wait_for_calm(size.calm)
        cells.append(attempt())
        if cells[-1].foreign_cores <= DISTURBED:
            break
    return min(cells, key=lambda cell: cell.foreign_cores)


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


def rotated(things: Sequence[T], by: int) -> list[T]:
    """Return `things` beginning with another one each round."""
    by %= len(things) or 1
    return [*things[by:], *things[:by]]


def told(cell: Cell) -> Cell:
    """Say what was measured as soon as it is."""
    figures = "  ".join(f"{key} {value:,.2f}" for key, value in cell.figures.items())
    noise = f"  (others: {cell.foreign_cores:.1f} cores)" if cell.foreign_cores > DISTURBED else ""
    name = f"{cell.peer} {cell.store}" if cell.store != "empty" else cell.peer
    print(f"{cell.round + 1:>2}  {cell.scenario:<11} {name:<24} {figures}{noise}", flush=True)
    return cell
