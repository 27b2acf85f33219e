"""Workhorse alone: does a long past, a long queue or a long life slow the drain?"""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from bench import measure
from bench.measure import run_client
from bench.peers import PEERS
from bench.peers.protocol import Peer
from bench.rounds import Cell, fresh_folder, quietly, rotated, tell
from bench.scenarios import Size

US = "workhorse-full"
STORES = ("empty", "history", "backlog")


def scale(size: Size, folder: Path) -> Iterator[Cell]:
    """Drain on an empty store, one with a long history and one with a long lower queue.

    Each is built once, put in order (VACUUM, ANALYZE, checkpoint), and copied for each round.
    """
    peer = PEERS[US]
    built = folder / "built"
    shutil.rmtree(built, ignore_errors=True)
    for name in STORES:
        build(peer, name, built / name, size.scale_rows)
    try:
        for number in range(size.rounds):
            for name in rotated(STORES, number):
                yield _drain_copy(name, number, built / name, folder / "scale", size)
    finally:
        shutil.rmtree(built, ignore_errors=True)


def in_a_row(size: Size, folder: Path) -> Iterator[Cell]:
    """Drain one store again and again; the first and the last are compared."""
    peer = PEERS[US]
    with fresh_folder(folder / "in_a_row") as store:
        peer.prepare(store)
        rates = []
        for number in range(size.drains_in_a_row):
            figures, foreign = quietly(lambda: measure.drain(peer, store, size.drain))
            tell(Cell("in_a_row", f"drain {number + 1}", 0, figures, foreign))
            rates.append((figures, foreign))
    yield Cell("in_a_row", "first", 0, *rates[0])
    yield Cell("in_a_row", "last", 0, *rates[-1])


def build(peer: Peer, name: str, folder: Path, rows: int) -> None:
    """Make the store `name` in `folder`: by enqueuing and running jobs, not by writing rows."""
    folder.mkdir(parents=True)
    peer.prepare(folder)
    start = time.monotonic()
    if name == "history":
        run_client(peer, folder, "fill", rows)
        unfinished = peer.unfinished(folder)
        with measure.running_worker(peer, folder) as worker:
            measure.wait_until(lambda: not unfinished(), worker)
    if name == "backlog":
        run_client(peer, folder, "backlog", rows)
    put_in_order(folder / "jobs.db")
    size = (folder / "jobs.db").stat().st_size / 2**20
    print(f"   built {name}: {size:,.0f} MiB in {time.monotonic() - start:.0f} s", flush=True)


def put_in_order(database: Path) -> None:
    """VACUUM, ANALYZE and a whole checkpoint: what a store looks like after a quiet night."""
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("vacuum")
        connection.execute("analyze")
        connection.execute("pragma wal_checkpoint(truncate)")


def _drain_copy(name: str, number: int, built: Path, folder: Path, size: Size) -> Cell:
    with fresh_folder(folder) as store:
        shutil.copyfile(built / "jobs.db", store / "jobs.db")
        os.sync()
        figures, foreign = quietly(lambda: measure.drain(PEERS[US], store, size.drain))
    cell = Cell("scale", name, number, figures, foreign)
    tell(cell)
    return cell
