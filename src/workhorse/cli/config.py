"""`workhorse config show`: the settings in force."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from workhorse.cli.output import Column, as_json, print_rows
from workhorse.cli.root import HelpfulGroup
from workhorse.cli.shared import Place, output_option, place_options, say
from workhorse.domain.errors import WorkhorseError

if TYPE_CHECKING:
    from workhorse.settings import Loaded

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
    rows = {
        name: {
            "name": name,
            "value": shown(loaded, name),
            "origin": loaded.origins.get(name, "default"),
            "about": field.description,
        }
        for name, field in Settings.model_fields.items()
    }
    if loaded.database_url is None:
        rows["database_url"] |= _store_in_use(loaded)
    print_rows(rows.values(), output, COLUMNS)


def _store_in_use(loaded: Loaded) -> dict[str, Any]:
    """Return where the jobs are when no setting says so: what the app says, else the default."""
    from workhorse.bootstrap import store_url
    from workhorse.sources import DEFAULT_DATABASE_URL
    from workhorse.urls import mask_url

    try:
        url = store_url(loaded)
    except WorkhorseError as error:
        say(f"Warning: {error}")
        return {}
    origin = "default" if url == DEFAULT_DATABASE_URL else f"the app {loaded.settings.app}"
    return {"value": mask_url(url), "origin": origin}


def _shown(value: object) -> str | None:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return value if isinstance(value, str) or value is None else as_json(value)
