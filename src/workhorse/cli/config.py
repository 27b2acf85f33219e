"""`workhorse config show`: the settings in force."""

from __future__ import annotations

from typing import Final

import click

from workhorse.cli.output import Column, as_json, print_rows
from workhorse.cli.root import HelpfulGroup
from workhorse.cli.shared import Place, output_option, place_options

COLUMNS: Final = (
    Column("SETTING", lambda row: row["name"]),
    Column("VALUE", lambda row: _shown(row["value"])),
    Column("FROM", lambda row: row["origin"]),
    Column("MEANING", lambda row: row["about"]),
)


@click.group(cls=HelpfulGroup)
def config() -> None:
    """See the settings in force and their origin."""


@config.command()
@output_option
@place_options
def show(*, output: str, place: Place) -> None:
    """List every setting with its value and origin."""
    from workhorse.settings import Settings, shown

    loaded = place.settings()
    rows = [
        {
            "name": name,
            "value": shown(loaded, name),
            "origin": loaded.origins.get(name, "default"),
            "about": field.description,
        }
        for name, field in Settings.model_fields.items()
    ]
    print_rows(rows, output, COLUMNS)


def _shown(value: object) -> str | None:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return value if isinstance(value, str) or value is None else as_json(value)
