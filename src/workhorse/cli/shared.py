"""What several commands share: where app and store are, what is read and said beside the data."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import wraps
from math import isnan
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import click

if TYPE_CHECKING:
    from workhorse.app import Workhorse
    from workhorse.settings import Loaded
    from workhorse.store.protocol import Store


class Place(NamedTuple):
    """Which app and which store a command is about, as far as its flags say."""

    app: str | None = None
    database_url: str | None = None

    def settings(self, **flags: Any) -> Loaded:
        """Return the settings under these flags, after saying what looked odd in them."""
        from workhorse.settings import load

        loaded = load(self._asdict() | flags)
        for warning in loaded.warnings:
            say(f"Warning: {warning}")
        return loaded

    @contextmanager
    def open_store(self, *, create: bool = False) -> Iterator[Store]:
        """Open the store that the flags and the settings name, and close it in the end."""
        from workhorse.bootstrap import open_store

        store = open_store(self.settings(), create=create)
        try:
            yield store
        finally:
            store.close()

    def migration_script(self) -> str:
        """Return all that bringing this store's schema up from nothing does, as SQL."""
        from workhorse.bootstrap import store_url
        from workhorse.store.opening import migration_script

        return migration_script(store_url(self.settings()))

    @contextmanager
    def open_app(self) -> Iterator[Workhorse]:
        """Load the app that the flags and the settings name; close its store in the end."""
        from workhorse.bootstrap import open_app

        app = open_app(self.settings())
        try:
            yield app
        finally:
            app.close()


def place_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--app`` and ``--database-url``, which reach the command as one `place`."""

    @wraps(command)
    def placed(*, app: str | None, database_url: str | None, **rest: Any) -> Any:
        return command(place=Place(app, database_url), **rest)

    return with_options(
        placed,
        click.option("--app", metavar="MODULE:ATTR", help="The app, e.g. app:app."),
        click.option(
            "--database-url",
            metavar="URL",
            help="Where the jobs are kept, e.g. sqlite:///jobs.db. A password is better given by "
            "WORKHORSE_DATABASE_URL or WORKHORSE_DATABASE_URL_FILE: others can see arguments.",
        ),
    )


def output_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``-o``: the shape of what is printed."""
    return with_options(
        command,
        click.option(
            "-o",
            "--output",
            type=click.Choice(["table", "json", "jsonl", "ids"]),
            default="table",
            show_default=True,
            help="A table for people, JSON (one value, or one per line), or bare ids.",
        ),
    )


def with_options(command: Callable[..., Any], *options: Callable[..., Any]) -> Callable[..., Any]:
    """Add click's `options` to a command, so that its help lists them in this order."""
    for option in reversed(options):
        command = option(command)
    return command


class Seconds(click.FloatRange):
    """A number of seconds to wait, from 0 on."""

    name = "seconds"

    def __init__(self) -> None:
        super().__init__(min=0)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Refuse what is no number and what is below zero; `nan` is neither more nor less."""
        seconds = super().convert(value, param, ctx)
        if isnan(seconds):
            self.fail(f"{value!r} is not a number of seconds.", param, ctx)
        return seconds


class Instant(click.types.StringParamType):
    """A date and time with its zone."""

    name = "instant"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Refuse what names no instant, or one of a zone that is not said."""
        try:
            instant = datetime.fromisoformat(value)
        except ValueError:
            instant = None
        if instant is None or instant.tzinfo is None:
            self.fail(
                f"{value!r} is no date and time with its zone, such as 2030-01-31T08:00Z.",
                param,
                ctx,
            )
        return instant


def confirm(question: str, *, yes: bool) -> None:
    """Go on when the user agrees; without a terminal only ``--yes`` is an agreement."""
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        fail_usage(f"{question} There is no terminal to ask on: add --yes.")
    click.confirm(question, abort=True, err=True)


def read_stdin() -> str:
    """Return all of stdin, as text."""
    try:
        return sys.stdin.read().removeprefix("\ufeff")  # the mark some editors begin a file with
    except UnicodeDecodeError:
        fail_usage("What was read from stdin is not UTF-8 text.")


def say(line: str) -> None:
    """Say something beside the data: on stderr."""
    print(line, file=sys.stderr)


def fail_usage(message: str) -> NoReturn:
    """Refuse the command line: exit 2."""
    raise click.UsageError(message, click.get_current_context(silent=True))


def ring(store: Store) -> None:
    """Wake the workers on this host: there is something new to see in the store."""
    from workhorse.engine.wake import Wake

    wake = Wake(store.run_dir)
    wake.ring()
    wake.close()
