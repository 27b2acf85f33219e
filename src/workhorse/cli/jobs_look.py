"""`workhorse jobs list | show | watch | wait | logs`: looking at jobs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import click

from workhorse.cli.follow import Patience, existing
from workhorse.cli.follow import wait as wait_for
from workhorse.cli.output import Column, as_json, pairs, print_row, print_rows
from workhorse.cli.pick import filter_options, read_ids
from workhorse.cli.rows import attempt_row, job_row, short_duration
from workhorse.cli.shared import Place, Seconds, output_option, place_options, say
from workhorse.explain import error_words
from workhorse.instants import short_instant

if TYPE_CHECKING:
    from workhorse.store.protocol import JobFilter, Store


def _tries(row: Any) -> str:
    return f"{row['attempt']} ({row['failures']}/{row['max_attempts']})"


def note(row: Any) -> str | None:
    """Return the one thing most worth knowing about a job in its present state."""
    if row["state"] in {"failed", "cancelled"} and row["error"]:
        return error_words(row["error"]).partition("\n")[0].rstrip()
    if row["state"] == "running":
        if row["cancel_requested"]:
            return "cancel requested"
        percent = "" if row["progress"] is None else f"{row['progress']}% "
        return f"{percent}{row['message'] or ''}".strip() or None
    if row["state"] == "blocked" and row["waits_for"]:
        return "after " + ", ".join(map(str, row["waits_for"]))
    if row["state"] in {"scheduled", "blocked"}:
        return f"due {short_instant(row['run_at'])}"
    return None


def _outcome(row: Any) -> str | None:
    """Return how the last attempt ended; of a job that runs, that is not what it is at."""
    return None if row["state"] == "running" else row["outcome"]


COLUMNS: Final = (
    Column("ID", lambda row: row["id"], right=True),
    Column("STATE", lambda row: row["state"], state=True),
    Column("KIND", lambda row: row["kind"]),
    Column("QUEUE", lambda row: row["queue"]),
    Column("PRIO", lambda row: row["priority"], right=True),
    Column("ATTEMPT", _tries),
    Column("OUTCOME", _outcome),
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
def list_(*, where: JobFilter, limit: int, before: int | None, output: str, place: Place) -> None:
    """List jobs, newest first."""
    with place.open_store() as store:
        rows = [job_row(job) for job in store.list_jobs(where, limit=limit + 1, before=before)]
        print_rows(rows[:limit], output, COLUMNS)
        if not rows:
            _hint_at_names(store, where)
        elif len(rows) > limit:
            say(f"There are more: --before {rows[limit - 1]['id']}")


@click.command()
@click.argument("job_id", type=int, metavar="ID")
@output_option
@place_options
def show(*, job_id: int, output: str, place: Place) -> None:
    """Show one job: its attempts, and why it is where it is."""
    from workhorse.explain import standing
    from workhorse.handle import facts

    with place.open_store() as store:
        job = existing(store, job_id)
        row = job_row(job)
        row["attempts"] = [attempt_row(attempt) for attempt in store.attempts(job_id)]
        row["why"] = "\n".join(standing(facts(store, job)))
    print_row(row, output, lambda row: pairs(_lines(row)))


@click.command()
@click.argument("job_id", type=int, metavar="ID")
@click.option("--timeout", type=Seconds(), help="Give up after this many seconds: exit 7.")
@output_option
@place_options
def watch(*, job_id: int, timeout: float | None, output: str, place: Place) -> int:
    """Follow one job live until it ends, then show its result."""
    from workhorse.cli.watch import watch as watch_job

    with place.open_store() as store:
        return watch_job(store, job_id, output, timeout=timeout)


@click.command()
@click.argument("ids", nargs=-1, required=True, metavar="ID...|-")
@click.option("--timeout", type=Seconds(), help="Give up after this many seconds: exit 7.")
@output_option
@place_options
def wait(*, ids: tuple[str, ...], timeout: float | None, output: str, place: Place) -> int:
    """Wait until all these jobs have ended. Exit 1 when one of them did not succeed."""
    patience = Patience(timeout)
    with place.open_store() as store:
        jobs = [existing(store, number) for number in read_ids(ids)]
        rows = [job_row(wait_for(store, job.id, patience)) for job in jobs]
    print_rows(rows, output, COLUMNS)
    return 0 if all(row["state"] == "succeeded" for row in rows) else 1


@click.command()
@click.argument("job_id", type=int, metavar="ID")
@click.option("-f", "--follow", "following", is_flag=True, help="Go on until the job ends.")
@click.option("--all", "everything", is_flag=True, help="Its whole record.")
@click.option("--after", type=int, default=0, help="Only events after this one (its seq).")
@output_option
@place_options
def logs(
    *, job_id: int, following: bool, everything: bool, after: int, output: str, place: Place
) -> None:
    """Print what a job said.

    That is its log lines; with --all its progress and the edges of its life as well.
    """
    from workhorse.cli.record import print_record

    with place.open_store() as store:
        print_record(store, job_id, output, following=following, everything=everything, after=after)


def _hint_at_names(store: Store, where: JobFilter) -> None:
    """Say which queue or kind was probably meant by one that nothing is known of."""
    from workhorse.nearest import nearest

    workers = store.workers()
    queues = {queue.name for queue in store.queues()}
    kinds = {kind for worker in workers for kind in worker.kinds} | {
        kind for _, kind in store.waiting()
    }
    for what, asked, known in (("queue", where.queues, queues), ("kind", where.kinds, kinds)):
        for name in asked:
            if known and name not in known and not _ever(store, what, name):
                say(f"Nothing uses a {what} {name!r}.{nearest(name, known)}")


def _ever(store: Store, what: str, name: str) -> bool:
    """Tell whether there is any job of that queue or kind, ended or not."""
    from workhorse.store.protocol import JobFilter

    where = JobFilter(queues=[name]) if what == "queue" else JobFilter(kinds=[name])
    return bool(store.list_jobs(where, limit=1))


def _lines(row: Any) -> Iterator[tuple[str, Any]]:
    """Yield what `jobs show` prints for people."""
    yield "id", row["id"]
    yield "kind", row["kind"]
    yield "queue", row["queue"]
    yield "state", row["state"]
    yield "why", None if row["state"] == "succeeded" else row["why"]
    yield "outcome", _outcome(row)
    yield "priority", row["priority"]
    yield "args", as_json(row["args"])
    yield "result", None if row["result"] is None else as_json(row["result"])
    if row["progress"] is not None:
        yield "progress", f"{row['progress']}% {row['message'] or ''}"
    yield "budget", f"{row['failures']} of {row['max_attempts']} failures used"
    yield "timeout", short_duration(row["timeout"])
    yield "unique", row["unique"]
    yield "idempotency", ", ".join(row["idempotency_keys"]) or None
    yield "enqueued", row["enqueued_at"]
    yield "started", row["started_at"]
    yield "finished", row["finished_at"]
    yield "took", short_duration(row["duration"])
    for attempt in row["attempts"]:
        took, error = short_duration(attempt["duration"]), attempt["error"]
        why = f"\n{error_words(error)}" if error else ""
        ended = f"{attempt['outcome']} after {took}, worker {attempt['worker']}"
        yield f"attempt {attempt['attempt']}", ended + why
    if row["error"]:
        yield "traceback", row["error"].get("traceback")
