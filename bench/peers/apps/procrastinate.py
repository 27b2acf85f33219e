"""procrastinate over psycopg's pool."""

from __future__ import annotations

from typing import Any

import procrastinate
import uvloop

from bench.peers.apps import JOBS, SyncClient


def install(url: str) -> None:
    with _sync(url).open() as app:
        app.schema_manager.apply_schema()


def connect(url: str) -> SyncClient:
    return SyncClient(_Queue(_sync(url)))


def work(url: str, *, concurrency: int) -> None:
    uvloop.run(_work(url, concurrency))


async def _work(url: str, concurrency: int) -> None:
    connector = procrastinate.PsycopgConnector(
        conninfo=url, min_size=concurrency, max_size=concurrency
    )
    app = _named(connector)
    async with app.open_async():
        await app.run_worker_async(concurrency=concurrency)


def _sync(url: str) -> procrastinate.App:
    return _named(procrastinate.SyncPsycopgConnector(conninfo=url))


def _named(connector: Any) -> procrastinate.App:
    app = procrastinate.App(connector=connector)
    for name in JOBS:
        app.task(name=name)(_async(name))
    return app


def _async(name: str) -> Any:
    async def run(arguments: list[Any]) -> None:
        JOBS[name](*arguments)

    return run


class _Queue:
    def __init__(self, app: procrastinate.App) -> None:
        self._tasks = app.open().tasks

    def add(self, name: str, *arguments: Any) -> None:
        self._tasks[name].defer(arguments=list(arguments))

    def add_many(self, count: int) -> None:
        self._tasks["noop"].batch_defer(*({"arguments": []} for _ in range(count)))
