"""Where the CPU time of a drain goes: ``python -m bench.where`` runs one in this process, by parts.

No worker and no handlers: turns of 500 jobs are claimed and settled as a child does it, and the
CPU time of each statement is taken. What the bench's drain costs beyond this is the engine, and
the processes around it.
"""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, Final

from bench.measure import ROOT
from workhorse.domain.job import NewJob
from workhorse.domain.outcome import Completed
from workhorse.domain.transitions import settle
from workhorse.store.protocol import ClaimRequest, NewWorker, Settled
from workhorse.store.sqlite import SqliteStore
from workhorse.store.sqlite.transaction import SqliteTransaction

JOBS: Final = 100_000
BATCH: Final = 500
CLAIM: Final = ClaimRequest(1, ("bench",), ("noop",), BATCH)
WORKER: Final = NewWorker("here", 1, ("bench",), ("noop",), 1, 10, lease=3600.0)


class TimedTransaction(SqliteTransaction):
    """A transaction that adds up the CPU time of its statements, in ns."""

    spent: ClassVar[Counter[str]] = Counter()

    def run(self, statement: str, /, **parameters: Any) -> Any:
        start = time.thread_time_ns()
        found = super().run(statement, **parameters)
        self.spent[statement] += time.thread_time_ns() - start
        return found


def main() -> None:
    """Fill a store, drain it turn by turn, and print a table."""
    folder = ROOT / ".workhorse" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder) as place:
        store = SqliteStore(Path(place) / "jobs.db")
        for _ in range(JOBS // 1000):
            store.enqueue([NewJob("noop", queue="bench")] * 1000)
        TimedTransaction.spent.clear()
        parts = drain(store)
        store.close()
    parts["begin, commit, rows to jobs"] -= TimedTransaction.spent.total()
    parts += TimedTransaction.spent
    for name, spent in parts.most_common():
        print(f"{name:<28} {spent / JOBS / 1000:6.2f}")
    print(f"{'together':<28} {parts.total() / JOBS / 1000:6.2f}")
    print(f"ms of CPU for 1,000 jobs, in turns of {BATCH}, synchronous=FULL")


def drain(store: SqliteStore) -> Counter[str]:
    """Claim and settle all there is; return the CPU time of the store and of the rules, in ns."""
    worker = store.register(WORKER)
    settled: list[Settled] = []
    parts: Counter[str] = Counter()
    while True:
        start = time.thread_time_ns()
        turn = store.turn(worker, settled, (), CLAIM)
        between = time.thread_time_ns()
        settled = [Settled(job.id, job.attempt, settle(job, Completed())) for job in turn.claimed]
        parts["begin, commit, rows to jobs"] += between - start
        parts["from outcomes to edges"] += time.thread_time_ns() - between
        if not settled:
            return parts


if __name__ == "__main__":
    from workhorse.store.sqlite import database

    vars(database)["SqliteTransaction"] = TimedTransaction
    main()
