"""`workhorse queues list | pause | resume`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from workhorse.cli.output import Column, print_rows
from workhorse.cli.root import HelpfulGroup
from workhorse.cli.rows import queue_row, short_duration
from workhorse.cli.shared import Place, output_option, place_options, ring
from workhorse.domain.errors import NotFound
from workhorse.domain.job import UNFINISHED, State, check_name

if TYPE_CHECKING:
    from workhorse.store.protocol import Store


def _count(state: State) -> Column:
    return Column(state.upper(), lambda row: row["counts"][state], right=True)


COLUMNS: Final = (
    Column("QUEUE", lambda row: row["name"]),
    Column("PAUSED", lambda row: "paused" if row["paused"] else None),
    *map(_count, UNFINISHED),
    Column("OLDEST", lambda row: short_duration(row["oldest_available_age"]), right=True),
)


@click.group(cls=HelpfulGroup)
def queues() -> None:
    """List, pause and resume queues."""


@queues.command("list")
@output_option
@place_options
def list_(*, output: str, place: Place) -> None:
    """List queues that have unfinished jobs, a pause or a worker."""
    with place.open_store() as store:
        print_rows(_rows(store), output, COLUMNS)


@queues.command()
@click.argument("names", nargs=-1, required=True, metavar="QUEUE...")
@click.option("--new", is_flag=True, help="Also a queue that nothing uses yet.")
@output_option
@place_options
def pause(*, names: tuple[str, ...], new: bool, output: str, place: Place) -> None:
    """Stop claims from these queues; what runs goes on."""
    for name in names:
        check_name("queue", name)
    with place.open_store() as store:
        if not new:
            _refuse_unknown(
                store, names, hint="`workhorse queues pause --new` pauses one before its first job."
            )
        for name in names:
            store.pause(name)
        print_rows(_rows(store, names), output, COLUMNS)


@queues.command()
@click.argument("names", nargs=-1, required=True, metavar="QUEUE...")
@output_option
@place_options
def resume(*, names: tuple[str, ...], output: str, place: Place) -> None:
    """Let these queues be claimed again."""
    with place.open_store() as store:
        _refuse_unknown(
            store,
            names,
            hint="`workhorse queues list` shows those there are, and which are paused.",
        )
        for name in names:
            store.resume(name)
        ring(store)
        print_rows(_rows(store, names), output, COLUMNS)


def _rows(store: Store, names: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    return [queue_row(queue) for queue in store.queues() if not names or queue.name in names]


def _refuse_unknown(store: Store, names: tuple[str, ...], *, hint: str) -> None:
    """Raise `NotFound` with the nearest name, before anything is changed."""
    from workhorse.nearest import nearest

    known = [queue.name for queue in store.queues()]
    for name in names:
        if name not in known:
            raise NotFound(f"Nothing uses a queue {name!r}.{nearest(name, known)}", hint=hint)
