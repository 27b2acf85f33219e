"""`workhorse jobs list | show | watch | wait | logs`: looking at jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from workhorse.cli.output import Column, compact, print_row, print_rows
from workhorse.cli.pick import filter_options, make_filter
from workhorse.cli.rows import attempt_row, job_row, short_duration, short_instant
from workhorse.cli.shared import (
    output_option,
    place_options,
    read_ids,
    say,
    the_store,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workhorse.store.protocol import Store


def _tries(row: Any) -> str:
    return f"{row['attempt']} ({row['failures']}/{row['max_attempts']})"


def note(row: Any) -> str | None:
    """Return the one thing most worth knowing about a job in its present state."""
    if row["state"] in {"failed", "cancelled"} and row["error"]:
        lines = str(row["error"].get("message") or "").splitlines() or [""]
        return f"{row['error'].get('type')}: {lines[0]}"
    if row["state"] == "running":
        if row["cancel_requested"]:
            return "cancel requested"
        percent = "" if row["progress"] is None else f"{row['progress']}% "
        return f"{percent}{row['message'] or ''}".strip() or None
    if row["state"] == "scheduled":
        return f"due {short_instant(row['run_at'])}"
    if row["state"] == "blocked":
        return "after " + ", ".join(map(str, row["waits_for"]))
    return None


COLUMNS: Final = (
    Column("ID", lambda row: row["id"], right=True),
    Column("STATE", lambda row: row["state"]),
    Column("KIND", lambda row: row["kind"]),
    Column("QUEUE", lambda row: row["queue"]),
    Column("PRIO", lambda row: row["priority"], right=True),
    Column("ATTEMPT", _tries),
    Column("OUTCOME", lambda row: row["outcome"]),
    Column("ENQUEUED", lambda row: short_instant(row["enqueued_at"])),
    Column("TOOK", lambda row: short_duration(row["duration"]), right=True),
    Column("NOTE", note),
)


@click.command("list")
@filter_options
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True)
@click.option("--before", type=int, help="Only jobs older than this id: the next page.")
@output_option
@place_options
def list_(
    *,
    states: tuple[str, ...],
    queues: tuple[str, ...],
    kinds: tuple[str, ...],
    worker: int | None,
    limit: int,
    before: int | None,
    output: str,
    app: str | None,
    database_url: str | None,
) -> None:
    """List jobs, newest first."""
    with the_store(app, database_url) as store:
        where = make_filter(states, queues, kinds, worker)
        rows = [job_row(job) for job in store.list_jobs(where, limit=limit, before=before)]
        print_rows(rows, output, COLUMNS)
        if not rows:
            _hint_at_names(store, queues, kinds)
        elif len(rows) == limit:
            say(f"There may be more: --before {rows[-1]['id']}")


@click.command()
@click.argument("job_id", type=int, metavar="ID")
@output_option
@place_options
def show(*, job_id: int, output: str, app: str | None, database_url: str | None) -> None:
    """Show one job with its attempts."""
    from workhorse.cli.watch import existing

    with the_store(app, database_url) as store:
        row = job_row(existing(store, job_id))
        row["attempts"] = [attempt_row(attempt) for attempt in store.attempts(job_id)]
    print_row(row, output, _lines(row))


@click.command()
@click.argument("job_id", type=int, metavar="ID")
@click.option("--timeout", type=float, help="Give up after this many seconds: exit 7.")
@output_option
@place_options
def watch(
    *, job_id: int, timeout: float | None, output: str, app: str | None, database_url: str | None
) -> int:
    """Follow one job live until it ends, then show its result."""
    from workhorse.cli.watch import watch as watch_job

    with the_store(app, database_url) as store:
        return watch_job(store, job_id, output, timeout=timeout)


@click.command()
@click.argument("ids", nargs=-1, required=True, metavar="ID...|-")
@click.option("--timeout", type=float, help="Give up after this many seconds: exit 7.")
@output_option
@place_options
def wait(
    *,
    ids: tuple[str, ...],
    timeout: float | None,
    output: str,
    app: str | None,
    database_url: str | None,
) -> int:
    """Wait until all these jobs have ended. Exit 1 when one of them did not succeed."""
    import time

    from workhorse.cli.watch import wait as wait_for

    numbers = read_ids(ids)
    deadline = None if timeout is None else time.monotonic() + timeout
    rows = []
    with the_store(app, database_url) as store:
        for number in numbers:
            left = None if deadline is None else max(deadline - time.monotonic(), 0)
            rows.append(job_row(wait_for(store, number, timeout=left)))
    print_rows(rows, output, COLUMNS)
    return 0 if all(row["state"] == "succeeded" for row in rows) else 1


@click.command()
@click.argument("job_id", type=int, metavar="ID")
@click.option("-f", "--follow", "following", is_flag=True, help="Go on until the job ends.")
@click.option("--all", "everything", is_flag=True, help="The edges of its life as well.")
@click.option("--after", type=int, default=0, help="Only events after this one (its seq).")
@output_option
@place_options
def logs(
    *,
    job_id: int,
    following: bool,
    everything: bool,
    after: int,
    output: str,
    app: str | None,
    database_url: str | None,
) -> None:
    """Print what a job said: its log lines, and with --all its whole record."""
    from workhorse.cli.record import print_record

    with the_store(app, database_url) as store:
        print_record(store, job_id, output, following=following, everything=everything, after=after)


def _hint_at_names(store: Store, queues: Sequence[str], kinds: Sequence[str]) -> None:
    """Say which queue or kind was probably meant by one that has no jobs."""
    from workhorse.sources import nearest

    known = [queue.name for queue in store.queues()]
    for name in queues:
        if name not in known:
            say(f"No job is in a queue {name!r}.{nearest(name, known)}")
    if kinds:
        ran = {kind for worker in store.workers() for kind in worker.kinds}
        ran.update(store.kinds_waiting())
        for name in kinds:
            if ran and name not in ran:
                say(f"No worker knows a kind {name!r}.{nearest(name, ran)}")


def _lines(row: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return what `jobs show` prints for people."""
    progress = None if row["progress"] is None else f"{row['progress']}% {row['message'] or ''}"
    lines = [
        ("id", row["id"]),
        ("kind", row["kind"]),
        ("queue", row["queue"]),
        ("state", row["state"]),
        ("outcome", row["outcome"]),
        ("priority", row["priority"]),
        ("args", compact(row["args"])),
        ("result", None if row["result"] is None else compact(row["result"])),
        ("progress", progress),
        ("attempt", f"{row['attempt']}, {row['failures']} of {row['max_attempts']} failures used"),
        ("timeout", None if row["timeout"] is None else short_duration(row["timeout"])),
        ("unique", row["unique"]),
        ("waits for", ", ".join(map(str, row["waits_for"])) or None),
        ("enqueued", row["enqueued_at"]),
        ("due", row["run_at"] if row["state"] == "scheduled" else None),
        ("started", row["started_at"]),
        ("finished", row["finished_at"]),
        ("took", short_duration(row["duration"])),
        ("note", "a cancel was requested" if row["cancel_requested"] else None),
    ]
    for attempt in row["attempts"]:
        took, error = short_duration(attempt["duration"]), attempt["error"]
        text = f"{attempt['outcome']} after {took}, worker {attempt['worker']}"
        if error:
            text += f"\n{error.get('type')}: {error.get('message')}"
        lines.append((f"attempt {attempt['attempt']}", text))
    if row["error"]:
        lines.append(("traceback", row["error"].get("traceback")))
    return lines
