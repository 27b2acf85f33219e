"""celery on Redis, early acknowledgement, no results, run by its own command line."""

from __future__ import annotations

import os
import sys
from typing import Any

from celery import Celery

from bench.peers.apps import JOBS, SyncClient

app = Celery("bench", broker=os.environ["BENCH_REDIS_URL"])
app.conf.update(task_default_queue="bench", task_ignore_result=True, worker_prefetch_multiplier=100)
TASKS = {name: app.task(job, name=name) for name, job in JOBS.items()}


def connect(_: str) -> SyncClient:
    return SyncClient(_Queue())


def work(_: str, *, concurrency: int) -> None:
    options = ["--concurrency", str(concurrency), "--loglevel", "warning"]
    options += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    program = [sys.executable, "-m", "celery", "-A", __name__, "worker", *options]
    os.execv(sys.executable, program)


class _Queue:
    def add(self, name: str, *arguments: Any) -> None:
        TASKS[name].delay(*arguments)

    def add_many(self, count: int) -> None:
        for _ in range(count):
            TASKS["noop"].delay()
