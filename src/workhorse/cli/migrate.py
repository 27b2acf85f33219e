"""`workhorse migrate`: the store's schema, brought up to date."""

from __future__ import annotations

import click

from workhorse.cli.shared import Place, place_options


@click.command()
@click.option("--sql", is_flag=True, help="Print the statements instead of running them.")
@place_options
def migrate(*, sql: bool, place: Place) -> None:
    """Bring the store's schema up to date. Running it again changes nothing."""
    if sql:
        print(place.migration_script(), end="")
        return
    with place.open_store(create=True) as store:
        applied = store.migrate()
        version = store.health().schema
    for name in applied:
        print(f"Applied {name}.")
    print(f"The schema is at version {version}.")
