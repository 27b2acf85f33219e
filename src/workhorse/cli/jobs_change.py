"""`workhorse jobs cancel | requeue | delete`: by id, by ids on stdin, or by filter."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from workhorse.cli.output import Column, print_rows
from workhorse.cli.pick import filter_options, make_filter
from workhorse.cli.shared import (
    confirm,
    fail_usage,
    output_option,
    place_options,
    read_ids,
    ring,
    say,
    the_store,
)
from workhorse.domain.errors import Conflict, NotFound, WorkhorseError
from workhorse.store.protocol import JobFilter

if TYPE_CHECKING:
    from workhorse.store.protocol import Store

PAGE: Final = 1000
UNFINISHED: Final = ("scheduled", "blocked", "available", "running")
FINAL: Final = ("succeeded", "failed", "cancelled")
REQUEUABLE: Final = ("failed", "cancelled")

Act = Callable[["Store", Sequence[int]], "Iterator[Change]"]


class Change(NamedTuple):
    """What became of one job: its new state, or why it was left alone."""

    id: int
    state: str | None
    error: WorkhorseError | None


_COLUMNS: Final = (
    Column("ID", lambda row: row["id"], right=True),
    Column("STATE", lambda row: row["state"]),
)


def selection_options(command: Any) -> Any:
    """Add what picks jobs: ids, or ``--all`` with filters, and ``--yes``."""
    for option in (
        click.option("-y", "--yes", is_flag=True, help="Do not ask."),
        click.option("--all", "everything", is_flag=True, help="Every job that fits the filters."),
        filter_options,
        click.argument("ids", nargs=-1, metavar="[ID...|-]"),
        output_option,
        place_options,
    ):
        command = option(command)
    return command


@click.command()
@selection_options
@click.option("--reason", default="cancelled on request", help="Kept with the jobs.")
def cancel(reason: str, **selection: Any) -> int:
    """Cancel jobs that have not ended. A running one is told, and ends."""

    def act(store: Store, job_id: int) -> str:
        return str(store.cancel(job_id, reason=reason))

    return _change("Cancel", one_by_one(act), UNFINISHED, **selection)


@click.command()
@selection_options
def requeue(**selection: Any) -> int:
    """Make failed or cancelled jobs available again, with a fresh budget and the same id."""

    def act(store: Store, job_id: int) -> str:
        store.requeue(job_id)
        return "available"

    by_id = one_by_one(act)

    def apply(store: Store, ids: Sequence[int]) -> Iterator[Change]:
        return by_id(store, ids) if selection["ids"] else _requeue_in_bulk(store, ids)

    return _change("Requeue", apply, REQUEUABLE, **selection)


@click.command()
@selection_options
def delete(**selection: Any) -> int:
    """Remove finished jobs with their attempts and output, for good."""

    def act(store: Store, job_id: int) -> str:
        store.delete(job_id)
        return "deleted"

    return _change("Delete", one_by_one(act), FINAL, always_ask=True, **selection)


def one_by_one(act: Callable[[Store, int], str]) -> Act:
    """Return what applies `act` to each job by itself: one that refuses does not stop the rest."""

    def apply(store: Store, ids: Sequence[int]) -> Iterator[Change]:
        for job_id in ids:
            try:
                yield Change(job_id, act(store, job_id), None)
            except (NotFound, Conflict) as error:
                yield Change(job_id, None, error)

    return apply


def _requeue_in_bulk(store: Store, ids: Sequence[int]) -> Iterator[Change]:
    """Requeue many in few transactions; those that changed state meanwhile are left out."""
    for start in range(0, len(ids), PAGE):
        for job_id in store.requeue_many(JobFilter(ids=ids[start : start + PAGE]), limit=PAGE):
            yield Change(job_id, "available", None)


def _change(
    verb: str,
    act: Act,
    possible: Sequence[str],
    *,
    ids: tuple[str, ...],
    everything: bool,
    yes: bool,
    states: tuple[str, ...],
    queues: tuple[str, ...],
    kinds: tuple[str, ...],
    worker: int | None,
    output: str,
    app: str | None,
    database_url: str | None,
    always_ask: bool = False,
) -> int:
    """Apply `act` to every job picked. One that refuses does not stop the others."""
    if bool(ids) == everything:
        fail_usage("Give job ids, `-` for ids on stdin, or --all with filters.")
    if ids and (states or queues or kinds or worker is not None):
        fail_usage("Filters go with --all, not with ids.")
    impossible = [state for state in states if state not in possible]
    if impossible:
        fail_usage(f"{verb} is for {', '.join(possible)} jobs, not {', '.join(impossible)} ones.")
    numbers = read_ids(ids)
    with the_store(app, database_url) as store:
        if everything:
            numbers = list(_matching(store, states or possible, queues, kinds, worker))
        if numbers and (everything or always_ask):
            confirm(f"{verb} {len(numbers)} job{'s' * (len(numbers) != 1)}?", yes=yes)
        return _apply(store, act, numbers, output)


def _apply(store: Store, act: Act, numbers: Sequence[int], output: str) -> int:
    """Act on each job, print a row for each; return the exit code of the first that refused."""
    changes = list(act(store, numbers))
    ring(store)
    refused = [change.error for change in changes if change.error is not None]
    rows = [
        {"id": change.id, "state": change.state, "error": str(change.error or "") or None}
        for change in changes
        if output != "ids" or change.error is None
    ]
    print_rows(rows, output, _COLUMNS)
    if not changes:
        say("No job fits.")
    for error in refused:
        say(f"Error: {error}")
    return refused[0].exit_code if refused else 0


def _matching(
    store: Store,
    states: Sequence[str],
    queues: Sequence[str],
    kinds: Sequence[str],
    worker: int | None,
) -> Iterator[int]:
    """Yield the ids of every job that fits, newest first."""
    where = make_filter(states, queues, kinds, worker)
    before: int | None = None
    while page := store.list_jobs(where, limit=PAGE, before=before):
        for job in page:
            yield job.id
        before = page[-1].id
