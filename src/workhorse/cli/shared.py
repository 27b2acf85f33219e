"""What several commands share: where the store and the app are, and how ids are given."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

import click

if TYPE_CHECKING:
    from workhorse.app import Workhorse
    from workhorse.settings import Loaded
    from workhorse.store.protocol import Store

Command = TypeVar("Command", bound=Callable[..., Any])

STATES: Final = (
    "scheduled",
    "blocked",
    "available",
    "running",
    "succeeded",
    "failed",
    "cancelled",
)


def place_options(command: Command) -> Command:
    """Add ``--app`` and ``--database-url``: which app, which store."""
    for option in (
        click.option(
            "--database-url",
            metavar="URL",
            help="Where the jobs are kept, e.g. sqlite:///jobs.db. A password is better given by "
            "WORKHORSE_DATABASE_URL or WORKHORSE_DATABASE_URL_FILE: others can see arguments.",
        ),
        click.option("--app", metavar="MODULE:ATTR", help="The app, e.g. app:app."),
    ):
        command = option(command)
    return command


def output_option(command: Command) -> Command:
    """Add ``-o``: the shape of what is printed."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(["table", "json", "jsonl", "ids"]),
        default="table",
        show_default=True,
        help="What to print: a table for people, JSON (one value, or one per line), or bare ids.",
    )(command)


def load_settings(**flags: Any) -> Loaded:
    """Return the settings under these flags, after saying what looked odd in them."""
    from workhorse.settings import load

    loaded = load(flags)
    for warning in loaded.warnings:
        say(f"Warning: {warning}")
    return loaded


@contextmanager
def the_store(
    app: str | None, database_url: str | None, *, create: bool = False
) -> Iterator[Store]:
    """Open the store that the flags and the settings name, and close it in the end."""
    from workhorse.bootstrap import open_store

    store = open_store(load_settings(app=app, database_url=database_url), create=create)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def the_app(app: str | None, database_url: str | None) -> Iterator[Workhorse]:
    """Load the app that the flags and the settings name; close its store in the end."""
    from workhorse.bootstrap import open_app

    opened = open_app(load_settings(app=app, database_url=database_url))
    try:
        yield opened
    finally:
        opened.close()


def read_ids(given: Sequence[str]) -> list[int]:
    """Return job ids from arguments; ``-`` stands for ids on stdin, separated by white space."""
    words: list[str] = []
    for word in given:
        words += click.get_text_stream("stdin").read().split() if word == "-" else [word]
    ids = []
    for word in words:
        if not (word.isascii() and word.isdecimal() and int(word) < 2**63):
            fail_usage(f"{word[:40]!r} is not a job id.")
        ids.append(int(word))
    return list(dict.fromkeys(ids))


def confirm(question: str, *, yes: bool) -> None:
    """Go on when the user agrees; without a terminal only ``--yes`` is an agreement."""
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        fail_usage(f"{question} There is no terminal to ask on: add --yes.")
    click.confirm(question, abort=True, err=True)


def say(line: str) -> None:
    """Say something beside the data: on stderr."""
    click.echo(line, err=True)


def fail_usage(message: str) -> NoReturn:
    """Refuse the command line: exit 2."""
    raise click.UsageError(message, click.get_current_context(silent=True))


def ring(store: Store) -> None:
    """Wake the workers on this host: there is something new to see in the store."""
    from workhorse.engine.wake import Wake

    wake = Wake(getattr(store, "run_dir", None))
    wake.ring()
    wake.close()
