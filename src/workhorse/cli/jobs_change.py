"""`workhorse jobs cancel | requeue | delete`: by id, by ids on stdin, or by filter."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from workhorse.cli.output import Column, print_rows
from workhorse.cli.pick import PAGE, filter_options, matching, read_ids
from workhorse.cli.shared import (
    Place,
    confirm,
    fail_usage,
    output_option,
    place_options,
    ring,
    say,
    with_options,
)
from workhorse.domain.errors import Conflict, NotFound, WorkhorseError
from workhorse.domain.job import FINAL, State
from workhorse.domain.outcome import ON_REQUEST
from workhorse.domain.transitions import EDGES, Verb
from workhorse.store.protocol import JobFilter

if TYPE_CHECKING:
    from workhorse.store.protocol import Store


@dataclass(frozen=True, slots=True)
class Selection:
    """Which jobs to change, and what the user said about it."""

    ids: tuple[str, ...]
    everything: bool
    yes: bool
    where: JobFilter
    output: str
    place: Place


class Changed(NamedTuple):
    """What became of one job: its new state, or why it was left alone."""

    id: int
    state: str | None
    error: WorkhorseError | None = None


Act = Callable[["Store", Sequence[int]], Iterator[Changed]]

_COLUMNS: Final = (
    Column("ID", lambda row: row["id"], right=True),
    Column("STATE", lambda row: row["state"], state=True),
)


def selection_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what picks jobs, ids or ``--all`` with filters; it reaches the command as `selection`."""

    @wraps(command)
    def selecting(**options: Any) -> Any:
        chosen = {name: options.pop(name) for name in Selection.__dataclass_fields__}
        return command(selection=Selection(**chosen), **options)

    return with_options(
        selecting,
        click.argument("ids", nargs=-1, metavar="[ID...|-]"),
        click.option("--all", "everything", is_flag=True, help="Every job that fits the filters."),
        filter_options,
        click.option("-y", "--yes", is_flag=True, help="Do not ask."),
        output_option,
        place_options,
    )


@click.command()
@selection_options
@click.option("--reason", default=ON_REQUEST, help="Kept with the jobs.")
def cancel(*, reason: str, selection: Selection) -> int:
    """Cancel jobs that have not ended. A running one is told, and ends."""

    def act(store: Store, job_id: int) -> str:
        return store.cancel(job_id, reason=reason)

    return _change("Cancel", EDGES[Verb.CANCEL].sources, one_by_one(act), selection)


@click.command()
@selection_options
def requeue(*, selection: Selection) -> int:
    """Run failed or cancelled jobs again.

    They are available again under the same id, with a fresh budget.
    """
    apply = _requeue_in_bulk if selection.everything else one_by_one(_requeue)
    return _change("Requeue", EDGES[Verb.REQUEUE].sources, apply, selection)


@click.command()
@selection_options
def delete(*, selection: Selection) -> int:
    """Remove finished jobs for good, with their attempts and output."""

    def act(store: Store, job_id: int) -> str:
        store.delete(job_id)
        return "deleted"

    return _change("Delete", FINAL, one_by_one(act), selection, always_ask=True)


def one_by_one(act: Callable[[Store, int], str]) -> Act:
    """Return what applies `act` to each job by itself: one that refuses does not stop the rest."""

    def apply(store: Store, ids: Sequence[int]) -> Iterator[Changed]:
        for job_id in ids:
            try:
                yield Changed(job_id, str(act(store, job_id)))
            except (NotFound, Conflict) as error:
                yield Changed(job_id, None, error)

    return apply


def _requeue(store: Store, job_id: int) -> str:
    store.requeue(job_id)
    return State.AVAILABLE


def _requeue_in_bulk(store: Store, ids: Sequence[int]) -> Iterator[Changed]:
    """Requeue many in few transactions; those that are left out say why, one by one."""
    for start in range(0, len(ids), PAGE):
        page = ids[start : start + PAGE]
        done = store.requeue_many(JobFilter(ids=page), limit=PAGE)
        yield from (Changed(job_id, State.AVAILABLE.value) for job_id in done)
        left = set(page).difference(done)
        yield from one_by_one(_requeue)(store, [job_id for job_id in page if job_id in left])


def _change(
    verb: str,
    possible: Sequence[State],
    act: Act,
    selection: Selection,
    *,
    always_ask: bool = False,
) -> int:
    """Apply `act` to every job selected; return the exit code of the first that refused."""
    _check(verb, possible, selection)
    numbers: Sequence[int] = read_ids(selection.ids)
    with selection.place.open_store() as store:
        if selection.everything:
            where = replace(selection.where, states=selection.where.states or possible)
            numbers = [job.id for job in matching(store, where)]
        if numbers and (selection.everything or always_ask):
            confirm(f"{verb} {len(numbers)} job{'s' * (len(numbers) != 1)}?", yes=selection.yes)
        return _apply(store, act, numbers, selection.output)


def _check(verb: str, possible: Sequence[State], selection: Selection) -> None:
    """Refuse a selection that contradicts itself, before anything is read."""
    where = selection.where
    if selection.ids and selection.everything:
        fail_usage("Give job ids or --all, not both.")
    if not selection.ids and not selection.everything:
        fail_usage("Give job ids, `-` for ids on stdin, or --all with filters.")
    if selection.ids and where != JobFilter():
        fail_usage("Filters go with --all, not with ids.")
    if impossible := [state for state in where.states if state not in possible]:
        fail_usage(f"{verb} is for {', '.join(possible)} jobs, not {', '.join(impossible)} ones.")


def _apply(store: Store, act: Act, numbers: Sequence[int], output: str) -> int:
    """Act on each job, and print what became of each, also when it is cut short."""
    changed: list[Changed] = []
    try:
        changed.extend(act(store, numbers))
    finally:
        ring(store)
        _print(changed, output)
    if not changed:
        say("No job fits.")
    refused = [one.error for one in changed if one.error is not None]
    for error in refused:
        say(f"Error: {error}")
    return refused[0].exit_code if refused else 0


def _print(changed: Sequence[Changed], output: str) -> None:
    rows = [
        {"id": one.id, "state": one.state, "error": None if one.error is None else str(one.error)}
        for one in changed
        if output != "ids" or one.error is None
    ]
    print_rows(rows, output, _COLUMNS)
