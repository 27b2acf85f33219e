"""A process among many: its threads enqueue, claim and settle on one store, as fast as they can.

    python -m tests.store.crowd URL SECONDS NAME

prints what it was told, as one JSON object: the ids it got, the jobs it ended, the errors it met,
and the longest it waited for an answer, in seconds.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from typing import Final

from tests.scenarios.workers import REPOSITORY, environment
from tests.store.hands import Worker, a_job, settled
from workhorse.domain.outcome import Completed
from workhorse.store.opening import open_store
from workhorse.store.protocol import Store

THREADS: Final = 4
LONG: Final = 3600.0
"""A lease that outlives the crowd: leases are not what this is about."""


@dataclass
class Report:
    """What one thread, or all of them, was told by the store."""

    acknowledged: list[int] = field(default_factory=list)
    ended: dict[int, str] = field(default_factory=dict)
    """Job and the mark of the thread that ended it."""
    errors: list[str] = field(default_factory=list)
    longest: float = 0.0

    def add(self, other: Report) -> None:
        assert not self.ended.keys() & other.ended.keys(), "a job was ended twice"
        self.acknowledged += other.acknowledged
        self.ended |= other.ended
        self.errors += other.errors
        self.longest = max(self.longest, other.longest)


def busy(store: Store, mark: str, until: float) -> Report:
    """Enqueue a few, claim a few, end them, and again."""
    report, worker = Report(), Worker(store, lease=LONG)
    while time.monotonic() < until:
        before = time.monotonic()
        try:
            jobs = [a_job(args=json.dumps(mark))] * random.randint(1, 4)
            report.acknowledged += [answer.id for answer in store.enqueue(jobs)]
            claimed = worker.claim(random.randint(1, 4))
            turn = worker.turn([settled(job, Completed(json.dumps(mark))) for job in claimed])
            assert not turn.stale, turn.stale
            report.ended |= {job.id: mark for job in claimed}
        except Exception as error:  # noqa: BLE001 - whatever a caller would meet
            report.errors.append(repr(error))
        report.longest = max(report.longest, time.monotonic() - before)
    return report


def main(url: str, seconds: str, name: str) -> None:
    whole = Report()
    with closing(open_store(url)) as store, ThreadPoolExecutor(THREADS) as pool:
        store.health()  # opens it: what that takes is not part of the time
        until = time.monotonic() + float(seconds)
        for report in pool.map(
            lambda number: busy(store, f"{name}-{number}", until), range(THREADS)
        ):
            whole.add(report)
    print(json.dumps(asdict(whole)))


@contextmanager
def crowd(url: str, seconds: float, processes: int) -> Iterator[list[subprocess.Popen[str]]]:
    """Start as many of these processes; see that none is left."""
    started = [
        subprocess.Popen(
            [sys.executable, "-m", __name__, url, str(seconds), str(number)],
            cwd=REPOSITORY,
            env=environment(url),
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(processes)
    ]
    try:
        yield started
    finally:
        for one in started:
            one.kill()
            one.communicate()


def report_of(process: subprocess.Popen[str]) -> Report:
    """Wait for one of them to end, and return what it was told."""
    text, _ = process.communicate(timeout=120)
    assert process.returncode == 0, process.returncode
    read = json.loads(text)
    return Report(**read | {"ended": {int(id): mark for id, mark in read["ended"].items()}})


if __name__ == "__main__":
    main(*sys.argv[1:])
