"""Time claims alone, without an engine: `python -m bench.peers.workhorse_claims TURNS LIMIT`.

Each turn claims `LIMIT` jobs of those that are there; it is timed by itself. What was claimed is
settled by the next turn's call, which is not.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import sys
import time
from contextlib import closing

from workhorse.domain.outcome import Completed
from workhorse.domain.transitions import settle
from workhorse.store.opening import open_store
from workhorse.store.protocol import ClaimRequest, NewWorker, Settled, Store

LEASE = 600.0


def main(turns: int, limit: int) -> None:
    """Print the quantiles of one claim, in ms."""
    with closing(open_store(os.environ["WORKHORSE_DATABASE_URL"])) as store:
        times = sorted(claims(store, turns, limit))
    cuts = statistics.quantiles(times, n=100, method="inclusive")
    print(json.dumps({"p50": cuts[49], "p99": cuts[98], "max": times[-1]}))


def claims(store: Store, turns: int, limit: int) -> list[float]:
    queues, kinds = ("bench",), ("noop", "mark", "stamp")
    worker = store.register(
        NewWorker(
            host=socket.gethostname(),
            pid=os.getpid(),
            queues=queues,
            kinds=kinds,
            processes=1,
            concurrency=limit,
            lease=LEASE,
        )
    )
    request = ClaimRequest(1, queues, kinds, limit)
    times = []
    for _ in range(turns):
        start = time.perf_counter()
        claimed = store.turn(worker, (), (), request).claimed
        times.append((time.perf_counter() - start) * 1e3)
        assert len(claimed) == limit, f"claimed {len(claimed)} of {limit}"
        done = [Settled(job.id, job.attempt, settle(job, Completed(None))) for job in claimed]
        store.turn(worker, done, (), None)
    store.retire(worker)
    return times


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
