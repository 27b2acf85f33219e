"""`workhorse events export`: the record, as JSON lines."""

from __future__ import annotations

import click

from workhorse.cli.output import compact
from workhorse.cli.root import HelpfulGroup
from workhorse.cli.rows import event_row
from workhorse.cli.shared import place_options, the_store


@click.group(cls=HelpfulGroup)
def events() -> None:
    """Export the record of what happened."""


@events.command()
@click.option("--after", type=int, default=0, help="Only events after this one: its seq.")
@click.option("--limit", type=click.IntRange(1), help="At most so many.")
@click.option("--job", "job_id", type=int, help="Only events of this job.")
@click.option("--output", "with_output", is_flag=True, help="Also what jobs said: log, progress.")
@place_options
def export(
    *,
    after: int,
    limit: int | None,
    job_id: int | None,
    with_output: bool,
    app: str | None,
    database_url: str | None,
) -> None:
    """Write events as JSON lines, oldest first.

    The seq of the last line is the cursor for the next export: --after SEQ.
    """
    from itertools import islice

    from workhorse.cli.record import pages

    with the_store(app, database_url) as store:
        found = pages(store, job_id=job_id, after=after, output=with_output)
        for event in islice(found, limit):
            click.echo(compact(event_row(event)))
