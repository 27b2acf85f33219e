"""A transaction that stays open for long: what has ended cannot be cleared away. Do claims slow?"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from bench import measure
from bench.calm import wait_for_calm
from bench.measure import ROOT, Figures
from bench.peers.protocol import Command, Snapshotted
from bench.rounds import Cell, fresh_folder, rotated, told, watched
from bench.scenarios import Size

STORES: Final = ("empty", "snapshot")
LIMIT: Final = 100
"""Jobs in one claim."""


def snapshot(peers: Sequence[Snapshotted], size: Size, folder: Path) -> Iterator[Cell]:
    """Time claims in a fresh store, and after many jobs under one open transaction."""
    for peer in peers:
        for number in range(size.rounds):
            for store in rotated(STORES, number):
                with fresh_folder(folder / "snapshot") as place:
                    peer.prepare(place)
                    try:
                        yield _measured(peer, number, place, size, store)
                    finally:
                        peer.remove(place)


def _measured(peer: Snapshotted, number: int, place: Path, size: Size, store: str) -> Cell:
    if store == "empty":
        return _claims(peer, number, place, size, store)
    with peer.open_transaction(place):
        start = time.monotonic()
        measure.run_jobs(peer, place, size.snapshot_jobs)
        print(
            f"    ran {size.snapshot_jobs:,} jobs in {time.monotonic() - start:.0f} s", flush=True
        )
        return _claims(peer, number, place, size, store)


def _claims(peer: Snapshotted, number: int, place: Path, size: Size, store: str) -> Cell:
    measure.run_client(peer.client(place), "noops", size.claims * LIMIT)
    wait_for_calm(size.calm)
    command = peer.claims(place, size.claims, LIMIT)
    figures, foreign = watched(peer, lambda: _printed(command))
    return told(Cell("snapshot", peer.name, number, figures, foreign, store))


def _printed(command: Command) -> Figures:
    said = subprocess.check_output(
        command.arguments, cwd=ROOT, env={**os.environ, **command.environment}, text=True
    )
    figures: Figures = json.loads(said)
    return figures
