"""dramatiq on Redis, run by its own command line."""

from __future__ import annotations

import os
import sys
from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from bench.peers.apps import JOBS, SyncClient

broker = RedisBroker(url=os.environ["BENCH_REDIS_URL"])
dramatiq.set_broker(broker)
ACTORS = {
    name: dramatiq.actor(job, actor_name=name, queue_name="bench") for name, job in JOBS.items()
}


def connect(_: str) -> SyncClient:
    return SyncClient(_Queue())


def work(_: str, *, threads: int) -> None:
    options = ["-p", "1", "-t", str(threads)]
    os.execv(sys.executable, [sys.executable, "-m", "dramatiq", __name__, *options])


class _Queue:
    def add(self, name: str, *arguments: Any) -> None:
        ACTORS[name].send(*arguments)

    def add_many(self, count: int) -> None:
        for _ in range(count):
            ACTORS["noop"].send()
