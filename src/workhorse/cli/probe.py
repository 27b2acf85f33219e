"""The health probe: no click, no pydantic, no app; a container calls it every few seconds."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

    from workhorse.domain.job import WorkerInfo
    from workhorse.store.protocol import Store

UNHEALTHY: Final = 1
SEE_LOG: Final = "See its log: `child ended` or `the app cannot be imported` says how."
START_ONE: Final = "See its log; start a worker: it gives the jobs back."


class Options(NamedTuple):
    """What `workhorse health` can be told."""

    app: str | None = None
    database_url: str | None = None
    worker: bool = False
    output: str = "table"


class Problem(NamedTuple):
    """What is wrong with a worker, and what to do about it."""

    text: str
    advice: str


def parse(arguments: Sequence[str]) -> Options | None:
    """Read the plain spellings; None for anything else: click knows them all, and `--help`."""
    options = Options()
    words = iter(arguments)
    for word in words:
        match word:
            case "--worker":
                options = options._replace(worker=True)
            case "--app" if value := next(words, None):
                options = options._replace(app=value)
            case "--database-url" if value := next(words, None):
                options = options._replace(database_url=value)
            case "-o" | "--output" if value := next(words, None):
                options = options._replace(output=value)
            case _:
                return None
    return options if options.output in {"table", "json"} else None


def probe(options: Options) -> int:
    """Look at the store and its workers; print what was found; return 0 or 1.

    Raises `Unavailable` when the store cannot be reached, `ConfigurationError` when the
    settings do not say where it is.
    """
    url, limit = _settings(options)
    from workhorse.store.opening import open_store
    from workhorse.urls import refuse_missing

    refuse_missing(url)
    store = open_store(url)
    try:
        report = _report(store, limit, os.uname().nodename if options.worker else None)
    finally:
        store.close()
    if options.output == "json":
        import json

        print(json.dumps(report, ensure_ascii=False))
    else:
        print(f"{'healthy' if report['healthy'] else 'unhealthy'}: {report['store']}")
        for problem in report["problems"]:
            print(f"  {problem}")
    return 0 if report["healthy"] else UNHEALTHY


def worker_problems(
    workers: Sequence[WorkerInfo],
    silent: Sequence[int],
    limit: int,
    gone: Sequence[int] = (),
) -> Iterator[Problem]:
    """Yield a problem for each worker that is gone or silent, or whose children keep dying."""
    for worker in workers:
        who = f"Worker {worker.id} (host {worker.host}, pid {worker.pid})"
        if worker.id in gone:
            yield Problem(f"{who} is dead: none of its processes is left.", START_ONE)
        elif worker.id in silent:
            text = f"{who} has let its lease run out: it is dead, frozen or cut off."
            yield Problem(text, START_ONE)
        elif worker.restarts > limit:
            text = f"{who} is in a crash loop: its children died {worker.restarts} times lately."
            yield Problem(text, SEE_LOG)


def _report(store: Store, limit: int, host: str | None) -> dict[str, Any]:
    """Judge the store and all workers, or those of `host` alone, which then must have one."""
    health, silent = store.health(), store.expired_workers()
    workers = [worker for worker in store.workers() if host in {None, worker.host}]
    problems = [text for level, text in health.findings if level == "error"]
    gone = _gone(workers, store.run_dir)
    problems += (problem.text for problem in worker_problems(workers, silent, limit, gone))
    if host is not None and all(worker.id in {*silent, *gone} for worker in workers):
        problems.append(f"No worker is alive on this host ({host}).")
    return {
        "healthy": not problems,
        "store": health.url,
        "schema": health.schema,
        "workers": len(workers),
        "problems": problems,
    }


def _gone(workers: Sequence[WorkerInfo], run_dir: Path | None) -> list[int]:
    """Return those of whose processes, on this machine, none is left: no lease need run out."""
    from workhorse.engine.locks import is_let_go

    if run_dir is None:
        return []
    return [worker.id for worker in workers if is_let_go(run_dir, worker.id)]


def _settings(options: Options) -> tuple[str, int]:
    """Return the store's URL and how many restarts are too many.

    The quick way when the URL is configured; else the whole of the settings and the app.
    """
    from workhorse import sources

    found = sources.find({"app": options.app, "database_url": options.database_url})
    limit = found.get("crash_loop_restarts")
    limit = str(sources.CRASH_LOOP_RESTARTS if limit is None else limit)
    url = sources.database_url(found)
    if sources.leaves_url_open(found) and found.get("app") is None:
        url = sources.DEFAULT_DATABASE_URL
    if url is not None and not found.problems and limit.isdecimal() and int(limit) > 0:
        return url, int(limit)
    from workhorse.bootstrap import store_url
    from workhorse.settings import load

    loaded = load({"app": options.app, "database_url": options.database_url})
    for warning in loaded.warnings:
        print(f"Warning: {warning}", file=sys.stderr)
    return store_url(loaded), loaded.settings.crash_loop_restarts
