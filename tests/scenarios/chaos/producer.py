"""The client of the chaos: enqueues the mix at an even pace, and tells what was acknowledged.

Run as ``python -m tests.scenarios.chaos.producer SEED JOBS SECONDS FIRST``. It may be killed at any
moment: the ledger knows up to where it got, and another goes on from there. What it had
enqueued and not been told of may then exist twice; it was never acknowledged.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator

from tests.scenarios.apps import chaos
from tests.scenarios.ledger import tell
from workhorse import Bound
from workhorse.domain.errors import Unavailable

CHUNK = 40
STUMBLING = 0.05


def mix(seed: int, first: int, last: int) -> Iterator[Bound[int]]:
    """Return the jobs numbered `first` to `last`: the same for the same seed."""
    for n in range(first, last):
        chance = random.Random(seed * 1_000_003 + n)
        stumble = chance.random() < STUMBLING
        part = chance.random()
        seconds = chance.uniform(0.005, 0.2)
        if part < 0.003:
            yield chaos.nap_process.bind(seconds, stumble)
        elif part < 0.08:
            yield chaos.nap_thread.bind(seconds, stumble)
        elif part < 0.30:
            yield chaos.nap.bind(seconds, stumble)
        else:
            yield chaos.nothing.bind(stumble)


def main(seed: int, jobs: int, seconds: float, first: int) -> None:
    """Enqueue what is left, one chunk after the other; every tenth chunk one by one."""
    start = time.monotonic()
    for n, at in enumerate(range(first, jobs, CHUNK)):
        upto = min(at + CHUNK, jobs)
        bound = list(mix(seed, at, upto))
        bundles = [[one] for one in bound] if n % 10 == 0 else [bound]
        ids = [job for bundle in bundles for job in enqueue(bundle)]
        tell("ack", jobs=ids, upto=upto)
        due = start + seconds * (upto - first) / (jobs - first)
        time.sleep(max(0.0, due - time.monotonic()))


def enqueue(jobs: list[Bound[int]]) -> list[int]:
    """Enqueue jobs, in one transaction; while the store is out of reach, try again."""
    while True:
        try:
            return [handle.id for handle in chaos.app.enqueue_many(jobs)]
        except Unavailable:  # what may be stored all the same was never acknowledged
            time.sleep(0.2)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))
