"""`workhorse health`, for click; the work is in `workhorse.cli.probe`."""

from __future__ import annotations

import click

from workhorse.cli.shared import Place, place_options


@click.command()
@click.option("--worker", is_flag=True, help="Judge the workers of this host alone, and want one.")
@click.option(
    "-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True
)
@place_options
def health(*, worker: bool, output: str, place: Place) -> int:
    """Probe store and workers, for containers.

    Exit 0 healthy; 1 a worker's lease has run out or its children keep dying; 3 a setting or the
    app is wrong; 4 the store cannot be reached. Without a configured database URL the app is
    imported to ask for it.
    """
    from workhorse.cli import probe

    return probe.probe(probe.Options(place.app, place.database_url, worker, output))
