"""`workhorse doctor`: what is wrong, or soon will be, and what to do."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

import click

from workhorse.cli.output import paint, print_rows
from workhorse.cli.shared import Place, output_option, place_options
from workhorse.domain.errors import Unavailable, WorkhorseError
from workhorse.domain.job import State
from workhorse.screen import clean

if TYPE_CHECKING:
    from workhorse.domain.job import QueueStats
    from workhorse.settings import Loaded
    from workhorse.store.protocol import Store

ENOUGH_FILES: Final = 1024
MOST: Final = 10
"""Findings of jobs that nobody will run, of one sort, that are told one by one."""

Served: TypeAlias = Mapping[str, Collection[str]]
"""The kinds that workers know of those that take from a queue, by its name."""


class Finding(NamedTuple):
    """One thing found: how bad it is, what it is, what to do. `code` is an exit code."""

    level: str
    about: str
    finding: str
    advice: str | None = None
    code: int = 1


@click.command()
@output_option
@place_options
def doctor(*, output: str, place: Place) -> int:
    """Look for what is wrong, and say what to do.

    Exit 0 when there is no error (warnings may be), else the code of the first error.
    """
    findings = list(examine(place))
    if output == "table":
        for finding in findings:
            _print(finding)
    else:
        rows = (
            {"name": one.about, "level": one.level, "finding": one.finding, "advice": one.advice}
            for one in findings
        )
        print_rows(rows, output, ())
    return next((finding.code for finding in findings if finding.level == "error"), 0)


def _print(finding: Finding) -> None:
    level = paint(f"{finding.level:<5}", like=finding.level)
    print(f"{level} {finding.about}: {_indented(finding.finding)}")
    if finding.advice:
        print(f"      → {_indented(finding.advice)}")


def _indented(text: str) -> str:
    """Return text fit for a terminal, later lines indented."""
    return "\n      ".join(map(clean, text.splitlines()))


def examine(place: Place) -> Iterator[Finding]:
    """Yield findings, the most basic first; what rests on something broken is not looked at."""
    from workhorse import bootstrap, settings

    try:
        loaded = settings.load(place._asdict())
    except WorkhorseError as error:
        yield _error("settings", error)
        return
    yield Finding("ok", "settings", f"{len(loaded.origins)} set, the rest are defaults.")
    for warning in loaded.warnings:
        yield Finding("warn", "settings", warning, "Correct the name, or unset it.")
    yield from _files(loaded)
    yield from _machine()
    app = list(_app(loaded))
    yield from app
    broken = any(finding.level == "error" and finding.about == "app" for finding in app)
    if loaded.database_url is None and broken:
        return  # the app is to say where the store is
    try:
        store = bootstrap.open_store(loaded)
    except WorkhorseError as error:
        yield _error("store", error)
        return
    try:
        yield from _store(store, bootstrap.listen_url(loaded))
        yield from _workers(store, loaded.settings.crash_loop_restarts)
    except WorkhorseError as error:
        yield _error("store", error)
    finally:
        store.close()


def _error(about: str, error: WorkhorseError) -> Finding:
    return Finding("error", about, error.message, error.hint, error.exit_code)


def _files(loaded: Loaded) -> Iterator[Finding]:
    origin = loaded.origins.get("database_url", "")
    path = Path(origin.partition(":")[0])
    if not origin or not path.is_file():
        return
    from workhorse.urls import mask_url

    url = loaded.database_url or ""
    if mask_url(url) != url and path.stat().st_mode & 0o004:
        yield Finding(
            "warn",
            "settings",
            f"{path} holds a password and everybody on this machine can read it.",
            "Use WORKHORSE_DATABASE_URL_FILE, or chmod 600.",
        )


def _machine() -> Iterator[Finding]:
    import resource

    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files < ENOUGH_FILES:
        yield Finding(
            "warn",
            "machine",
            f"A process may open {files} files only.",
            f"Raise it: ulimit -n {ENOUGH_FILES}.",
        )


def _app(loaded: Loaded) -> Iterator[Finding]:
    from workhorse.bootstrap import open_app

    if loaded.settings.app is None:
        yield Finding(
            "warn", "app", "No app is named.", "`workhorse init` writes one; or set WORKHORSE_APP."
        )
        return
    try:
        app = open_app(loaded)
    except WorkhorseError as error:
        yield _error("app", error)
        return
    if not app.kinds:
        yield Finding(
            "warn", "app", "It has no kinds.", "Import the modules with your @app.job functions."
        )
    elif app.inline:
        yield Finding(
            "warn",
            "app",
            "It is in inline mode: jobs run where they are enqueued, not in a worker.",
            "Leave out inline=True outside of tests and scripts.",
        )
    else:
        yield Finding("ok", "app", f"{loaded.settings.app} with kinds {', '.join(app.kinds)}.")
    for kind in app.specs.values():
        try:
            kind.check_parameters()
        except WorkhorseError as error:
            finding = _error("kinds", error)
            yield finding._replace(finding=f"{finding.finding}\n{kind.where}")


def _store(store: Store, listen_url: str | None) -> Iterator[Finding]:
    health = store.health(listen_url=listen_url)
    size = health.size / 2**20
    yield Finding(
        "ok", "store", f"{health.url}, {health.version}, schema {health.schema}, {size:.1f} MiB."
    )
    for level, text in health.findings:
        yield Finding(level, "store", text, code=Unavailable.exit_code)


def _workers(store: Store, crash_loop_restarts: int) -> Iterator[Finding]:
    from workhorse.cli.probe import worker_problems

    workers, silent = store.workers(), store.expired_workers()
    for problem in worker_problems(workers, silent, crash_loop_restarts):
        yield Finding("error", "workers", problem.text, problem.advice)
    at_work = [worker for worker in workers if worker.id not in silent]
    yield Finding("ok", "workers", f"{len(at_work)} at work.")
    served: defaultdict[str, set[str]] = defaultdict(set)
    for worker in at_work:
        if worker.state == "alive":
            for queue in worker.queues:
                served[queue].update(worker.kinds)
    yield from _first("kinds", _kinds(store.waiting(), served))
    yield from _first("queues", _queues(store.queues(), served))


def _first(about: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    """Yield the first of very many findings, and how many more there are."""
    yield from islice(findings, MOST)
    if more := sum(1 for _ in findings):
        yield Finding("warn", about, f"… and {more:,} more like these.")


def _kinds(waiting: Mapping[tuple[str, str], int], served: Served) -> Iterator[Finding]:
    """Yield the kinds that no worker knows, and those that none knows of the queue they wait in."""
    from workhorse.nearest import nearest

    known = {kind for kinds in served.values() for kind in kinds}
    unknown: Counter[str] = Counter()
    for (_, kind), number in waiting.items():
        if known and kind not in known:
            unknown[kind] += number
    for kind, number in unknown.items():
        yield Finding(
            "warn",
            "kinds",
            f"{_jobs(number)} of kind {kind!r} and no worker knows it.",
            f"Deploy a worker that has it, or cancel them.{nearest(kind, known)}",
        )
    for (queue, kind), number in waiting.items():
        if kind in known and queue in served and kind not in served[queue]:
            yield Finding(
                "warn",
                "kinds",
                f"{_jobs(number)} of kind {kind!r} in {queue} and no worker of it knows that.",
                f"Have a worker that knows it take from {queue}, or cancel them.",
            )


def _queues(queues: Iterable[QueueStats], served: Served) -> Iterator[Finding]:
    for queue in queues:
        waiting = sum(queue.counts.get(state, 0) for state in (State.AVAILABLE, State.SCHEDULED))
        if waiting and queue.paused:
            yield Finding(
                "warn",
                "queues",
                f"{_jobs(waiting)} in {queue.name}, which is paused.",
                f"workhorse queues resume {queue.name}",
            )
        elif waiting and queue.name not in served:
            yield Finding(
                "warn",
                "queues",
                f"{_jobs(waiting)} in {queue.name} and no worker takes from it.",
                f"workhorse worker --queues {queue.name}",
            )


def _jobs(waiting: int) -> str:
    return "1 job waits" if waiting == 1 else f"{waiting} jobs wait"
