"""One measurement of the enqueuing side, in a process of its own: ``python -m bench.client``.

Prints one JSON object. Importing, opening the store and a short warm-up are not timed.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.peers import PEERS
from bench.peers.protocol import Peer

WARM_UP = 50
BATCH = 1000


def one_by_one(peer: Peer, folder: Path, count: int) -> dict[str, Any]:
    """Time `count` calls, each durable when it returns."""
    client = peer.client(folder)
    for _ in range(WARM_UP):
        client.noop()
    start = time.perf_counter()
    for _ in range(count):
        client.noop()
    return {"per_second": count / (time.perf_counter() - start)}


def bulk(peer: Peer, folder: Path, count: int) -> dict[str, Any]:
    """Time `count` jobs in calls of `BATCH` jobs, each call durable when it returns."""
    client = peer.client(folder)
    client.noops(BATCH)
    start = time.perf_counter()
    for _ in range(count // BATCH):
        client.noops(BATCH)
    return {"per_second": count / (time.perf_counter() - start)}


def fill(peer: Peer, folder: Path, count: int) -> dict[str, Any]:
    """Enqueue `count` jobs for a drain: the first and the last write a mark. Not timed."""
    client = peer.client(folder)
    client.mark(str(folder / "first"))
    whole, rest = divmod(count - 2, BATCH)
    for _ in range(whole):
        client.noops(BATCH)
    client.noops(rest)
    client.mark(str(folder / "last"))
    return {}


def latency(peer: Peer, folder: Path, count: int, every: float) -> dict[str, Any]:
    """Enqueue a job each `every` seconds; each writes how long ago its enqueue began."""
    client = peer.client(folder)
    path = str(folder / "ages")
    start = time.monotonic()
    for number in range(count):
        time.sleep(max(0.0, start + number * every - time.monotonic()))
        client.stamp(path, time.monotonic_ns())
    return {}


def backlog(peer: Peer, folder: Path, count: int) -> dict[str, Any]:
    """Put `count` jobs into Workhorse's queue below the measured one."""
    from bench.peers.workhorse_sqlite import WorkhorseSqlite

    assert isinstance(peer, WorkhorseSqlite)
    client = peer.client(folder, queue="backlog")
    for _ in range(count // BATCH):
        client.noops(BATCH)
    return {}


OPERATIONS: dict[str, Callable[..., dict[str, Any]]] = {
    "one_by_one": one_by_one,
    "bulk": bulk,
    "fill": fill,
    "latency": latency,
    "backlog": backlog,
}


def main(arguments: list[str]) -> None:
    """Carry out ``operation peer folder JSON-arguments``."""
    operation, peer, folder, rest = arguments
    print(json.dumps(OPERATIONS[operation](PEERS[peer], Path(folder), *json.loads(rest))))


if __name__ == "__main__":
    main(sys.argv[1:])
