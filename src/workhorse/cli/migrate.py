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
        print(_statements(), end="")
        return
    with place.open_store(create=True) as store:
        applied = store.migrate()
        version = store.health().schema
    for name in applied:
        print(f"Applied {name}.")
    print(f"The schema is at version {version}.")


def _statements() -> str:
    from importlib.resources import files

    folder = files("workhorse.store") / "sql" / "sqlite" / "migrations"
    parts = sorted(folder.iterdir(), key=lambda part: part.name)
    return "".join(f"-- {part.name}\n{part.read_text(encoding='utf-8')}\n" for part in parts)
