"""Peers whose stores can grow: does a long past, a long queue or a long life slow the drain?"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from bench import measure
from bench.calm import wait_for_calm
from bench.peers.protocol import Peer, Scalable
from bench.rounds import Cell, fresh_folder, least_disturbed, rotated, told, watched
from bench.scenarios import Size

STORES: Final = ("empty", "history", "backlog")


def scale(peers: Sequence[Scalable], size: Size, folder: Path) -> Iterator[Cell]:
    """Drain an empty store, one with a long history and one with a long queue below.

    Each is built once, put in order, and copied for each round.
    """
    for peer in peers:
        with fresh_folder(folder / "built") as built:
            for store in STORES:
                _build(peer, store, built / store, size.scale_rows)
            for number in range(size.rounds):
                for store in rotated(STORES, number):
                    yield _drain_copy(peer, store, number, folder, size)
            for store in STORES:
                peer.remove(built / store)


def in_a_row(peers: Sequence[Scalable], size: Size, folder: Path) -> Iterator[Cell]:
    """Drain one store again and again, without a pause."""
    for peer in peers:
        with fresh_folder(folder / "in_a_row") as place:
            peer.prepare(place)
            wait_for_calm(size.calm)
            for number in range(size.drains_in_a_row):
                yield told(_drain("in_a_row", peer, number, place, size))
            peer.remove(place)


def _build(peer: Scalable, store: str, folder: Path, rows: int) -> None:
    """Make one store: by enqueuing and running jobs, not by writing rows."""
    start = time.monotonic()
    folder.mkdir()
    peer.prepare(folder)
    if store == "history":
        measure.run_jobs(peer, folder, rows)
    if store == "backlog":
        measure.run_client(peer.client_of_backlog(folder), "noops", rows)
    peer.put_in_order(folder)
    print(f"    built {peer.name} {store} in {time.monotonic() - start:.0f} s", flush=True)


def _drain_copy(peer: Scalable, store: str, number: int, folder: Path, size: Size) -> Cell:
    def attempt() -> Cell:
        with fresh_folder(folder / "scale") as place:
            peer.copy(folder / "built" / store, place)
            os.sync()
            return _drain("scale", peer, number, place, size)._replace(store=store)

    return told(least_disturbed(attempt, size))


def _drain(scenario: str, peer: Peer, number: int, place: Path, size: Size) -> Cell:
    figures, foreign = watched(peer, lambda: measure.drain(peer, place, size.drain))
    return Cell(scenario, peer.name, number, figures, foreign)
