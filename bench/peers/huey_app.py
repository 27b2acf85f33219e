"""The tasks for `huey_consumer bench.peers.huey_app.huey`."""

from __future__ import annotations

import os

from bench import marks
from bench.peers.huey_queue import make

huey = make(os.environ["BENCH_HUEY_FILE"], os.environ["BENCH_HUEY_DURABILITY"])


@huey.task()
def noop() -> None:
    return None


@huey.task()
def mark(path: str) -> None:
    marks.mark(path)


@huey.task()
def stamp(path: str, sent: int) -> None:
    marks.stamp(path, sent)
