"""The click group at the top: it knows its commands by name and loads the one that is called."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

import click

from workhorse import __version__
from workhorse.cli import menu
from workhorse.nearest import nearest


class HelpfulGroup(click.Group):
    """A group that names its commands when none is given, and the nearest to one it lacks."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Say what there is when nothing is asked for."""
        if not args:
            raise click.UsageError(f"Say which: {', '.join(self.list_commands(ctx))}.", ctx)
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which one was probably meant."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            hint = nearest(name, self.list_commands(ctx))
            raise click.UsageError(f"There is no command {name!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)


class Menu(HelpfulGroup):
    """The commands of `workhorse.cli.menu`, each imported when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the help page."""
        del ctx
        return list(menu.COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        del ctx
        entry = menu.COMMANDS.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.target.partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def get_help(self, ctx: click.Context) -> str:
        """Return the page that the fast path prints too."""
        del ctx
        return menu.page()


def _show_version(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    del param
    if value:
        print(f"workhorse {__version__}")
        ctx.exit()


@click.group(cls=Menu, name="workhorse", context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show the traceback behind an error.")
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version)
def root(*, debug: bool) -> None:
    """A durable job queue with a supervised worker, from one SQLite file to PostgreSQL."""
    if debug:
        os.environ["WORKHORSE_DEBUG"] = "1"
