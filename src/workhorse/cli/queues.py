"""`workhorse queues list | pause | resume`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from workhorse.cli.output import Column, print_rows
from workhorse.cli.root import HelpfulGroup
from workhorse.cli.rows import queue_row, short_duration
from workhorse.cli.shared import STATES, output_option, place_options, ring, the_store

if TYPE_CHECKING:
    from workhorse.store.protocol import Store


def _count(state: str) -> Column:
    return Column(state.upper(), lambda row: row["counts"][state], right=True)


COLUMNS: Final = (
    Column("QUEUE", lambda row: row["name"]),
    Column("PAUSED", lambda row: "paused" if row["paused"] else None),
    *(_count(state) for state in STATES),
    Column("OLDEST", lambda row: short_duration(row["oldest_available_age"]), right=True),
)


@click.group(cls=HelpfulGroup)
def queues() -> None:
    """List, pause and resume queues."""


@queues.command("list")
@output_option
@place_options
def list_(*, output: str, app: str | None, database_url: str | None) -> None:
    """List queues that have jobs, a pause or a worker."""
    with the_store(app, database_url) as store:
        print_rows(_rows(store), output, COLUMNS)


@queues.command()
@click.argument("names", nargs=-1, required=True, metavar="QUEUE...")
@click.option("--new", is_flag=True, help="Also a queue that nothing has used yet.")
@output_option
@place_options
def pause(
    *,
    names: tuple[str, ...],
    new: bool,
    output: str,
    app: str | None,
    database_url: str | None,
) -> None:
    """Stop claims from these queues; what runs goes on."""
    with the_store(app, database_url) as store:
        if not new:
            _refuse_unknown(store, names)
        for name in names:
            store.pause(name)
        print_rows(_rows(store, names), output, COLUMNS)


@queues.command()
@click.argument("names", nargs=-1, required=True, metavar="QUEUE...")
@output_option
@place_options
def resume(
    *, names: tuple[str, ...], output: str, app: str | None, database_url: str | None
) -> None:
    """Let these queues be claimed again."""
    with the_store(app, database_url) as store:
        _refuse_unknown(store, names)
        for name in names:
            store.resume(name)
        ring(store)
        print_rows(_rows(store, names), output, COLUMNS)


def _rows(store: Store, names: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    rows = [queue_row(queue, STATES) for queue in store.queues()]
    return [row for row in rows if not names or row["name"] in names]


def _refuse_unknown(store: Store, names: tuple[str, ...]) -> None:
    """Raise `NotFound` with the nearest name, before anything is changed."""
    from workhorse.domain.errors import NotFound
    from workhorse.domain.job import check_name
    from workhorse.sources import nearest

    known = [queue.name for queue in store.queues()]
    for name in names:
        check_name("queue", name)
        if name not in known:
            raise NotFound(
                f"There is no queue {name!r}.{nearest(name, known)}",
                hint="Nothing has used it yet; `queues pause --new` pauses it all the same.",
            )
