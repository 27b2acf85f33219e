"""rq with its worker that does not fork."""

from __future__ import annotations

from typing import Any

from redis import Redis
from rq import Queue, SimpleWorker

from bench.peers.apps import JOBS, SyncClient


def connect(url: str) -> SyncClient:
    return SyncClient(_Queue(Queue("bench", connection=Redis.from_url(url))))


def work(url: str) -> None:
    SimpleWorker(["bench"], connection=Redis.from_url(url)).work(logging_level="WARNING")


class _Queue:
    def __init__(self, queue: Any) -> None:
        self._queue = queue

    def add(self, name: str, *arguments: Any) -> None:
        self._queue.enqueue(JOBS[name], args=arguments, result_ttl=0)

    def add_many(self, count: int) -> None:
        jobs = [Queue.prepare_data(JOBS["noop"], result_ttl=0) for _ in range(count)]
        self._queue.enqueue_many(jobs)
