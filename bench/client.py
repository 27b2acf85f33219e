"""One measurement of the enqueuing side of a peer in Python, in a process of its own.

``python -m bench.client PEER FOLDER OPERATION ARGUMENTS`` prints one JSON object. Importing,
opening the store and a short warm-up are not timed. A peer in another language has a program
that does the same.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from bench.peers import PEERS
from bench.peers.protocol import Client, ConcurrentClient

WARM_UP: Final = 50
BATCH: Final = 1000

Figures = dict[str, float]


def one_by_one(client: Client, _: Path, count: int) -> Figures:
    """Time `count` calls, each durable when it returns."""
    for _warm in range(WARM_UP):
        client.noop()
    start = time.perf_counter()
    for _each in range(count):
        client.noop()
    return {"per_second": count / (time.perf_counter() - start)}


def bulk(client: Client, _: Path, count: int) -> Figures:
    """Time `count` jobs in calls of `BATCH` jobs, each call durable when it returns."""
    client.noops(BATCH)
    start = time.perf_counter()
    for _each in range(count // BATCH):
        client.noops(BATCH)
    return {"per_second": count / (time.perf_counter() - start)}


def concurrent(client: ConcurrentClient, _: Path, count: int) -> Figures:
    """Time `count` calls at once, each durable when it returns."""
    client.noop()
    start = time.perf_counter()
    client.concurrent(count)
    return {"per_second": count / (time.perf_counter() - start)}


def fill(client: Client, folder: Path, count: int) -> Figures:
    """Enqueue `count` jobs for a drain: the first and the last write a mark. Not timed."""
    client.mark(str(folder / "first"))
    noops(client, folder, count - 2)
    client.mark(str(folder / "last"))
    return {}


def noops(client: Client, _: Path, count: int) -> Figures:
    """Enqueue `count` bare jobs. Not timed."""
    whole, rest = divmod(count, BATCH)
    for _each in range(whole):
        client.noops(BATCH)
    if rest:
        client.noops(rest)
    return {}


def latency(client: Client, folder: Path, count: int, every: float) -> Figures:
    """Enqueue a job each `every` seconds; each writes how long ago its enqueue began."""
    path = str(folder / "ages")
    start = time.monotonic()
    for number in range(count):
        time.sleep(max(0.0, start + number * every - time.monotonic()))
        client.stamp(path, time.monotonic_ns())
    return {}


OPERATIONS: Final[Mapping[str, Callable[..., Figures]]] = {
    operation.__name__: operation
    for operation in (one_by_one, bulk, concurrent, fill, noops, latency)
}


def main(arguments: list[str]) -> None:
    """Open the peer's client and carry out one operation."""
    name, folder, operation, rest = arguments
    peer: Any = PEERS[name]
    print(json.dumps(OPERATIONS[operation](peer.open(), Path(folder), *json.loads(rest))))


if __name__ == "__main__":
    main(sys.argv[1:])
