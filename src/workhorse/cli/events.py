"""`workhorse events export`: the record, as JSON lines."""

from __future__ import annotations

import sys
from itertools import islice

import click

from workhorse.cli.follow import existing, pages
from workhorse.cli.output import print_rows
from workhorse.cli.root import HelpfulGroup
from workhorse.cli.rows import event_row
from workhorse.cli.shared import Place, place_options


@click.group(cls=HelpfulGroup)
def events() -> None:
    """Export the record of what happened."""


@events.command()
@click.option("--after", type=int, default=0, help="Only events after this one: its seq.")
@click.option("--limit", type=click.IntRange(1, sys.maxsize), help="At most so many.")
@click.option("--job", "job_id", type=int, help="Only events of this job.")
@click.option("--with-output", is_flag=True, help="Also what jobs said: log, progress.")
@place_options
def export(
    *, after: int, limit: int | None, job_id: int | None, with_output: bool, place: Place
) -> None:
    """Write events as JSON lines, oldest first.

    The seq of the last line is the cursor for the next export: --after SEQ.
    """
    with place.open_store() as store:
        if job_id is not None:
            existing(store, job_id)  # the record of one that was deleted went with it
        found = pages(store, job_id=job_id, after=after, output=with_output)
        print_rows(map(event_row, islice(found, limit)), "jsonl", ())
