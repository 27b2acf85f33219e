"""`workhorse enqueue KIND JSON`: one job, and on request its whole life."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from workhorse.cli.output import paint, print_row
from workhorse.cli.shared import (
    Instant,
    Place,
    Seconds,
    fail_usage,
    output_option,
    place_options,
    read_stdin,
)


@click.command()
@click.argument("kind")
@click.argument("arguments", metavar="[JSON]", default="{}")
@click.option("--queue", help="Another queue than the kind's own.")
@click.option("--priority", help="low, normal, high, critical, or an integer; higher starts first.")
@click.option("--delay", type=float, help="Seconds to wait before it may start.")
@click.option(
    "--run-at", type=Instant(), help="When it may start, such as 2030-01-31T08:00+01:00 or …Z."
)
@click.option(
    "--after",
    type=int,
    multiple=True,
    metavar="ID",
    help="A job that must succeed first. Repeat it for more.",
)
@click.option("--unique", metavar="KEY", help="Queue nothing while an unfinished job holds KEY.")
@click.option("--idempotency-key", metavar="KEY", help="Make one job with KEY, while that is kept.")
@click.option("--timeout", metavar="SECONDS", help="How long one attempt may take, or none.")
@click.option("--max-attempts", type=int, help="How many failures are too many.")
@click.option(
    "--wait", "waiting", is_flag=True, help="Wait for the end; exit 1 unless it succeeds."
)
@click.option("--watch", "watching", is_flag=True, help="The same, and show its life as it goes.")
@click.option(
    "--wait-timeout", type=Seconds(), help="Give up waiting after so many seconds: exit 7."
)
@output_option
@place_options
def enqueue(
    *,
    kind: str,
    arguments: str,
    waiting: bool,
    watching: bool,
    wait_timeout: float | None,
    output: str,
    place: Place,
    **options: Any,
) -> int:
    """Put one job into its queue.

    JSON is an object of the kind's arguments by name; `-` reads it from stdin, `@FILE` from a
    file. The job is on stable storage when the command ends.
    """
    from workhorse.cli import follow, watch
    from workhorse.cli.rows import job_row

    if wait_timeout is not None and not (waiting or watching):
        fail_usage("--wait-timeout is for --wait or --watch.")
    args = read_object(arguments)
    given = _given(options)
    with place.open_app() as app:
        handle = app.enqueue_by_name(kind, args, **given)
        if watching:
            return watch.watch(app.store, handle.id, output, timeout=wait_timeout)
        if waiting:
            with watch.only_looking(handle.id):
                job = follow.wait(app.store, handle.id, follow.Patience(wait_timeout))
            return watch.print_end(job, output)
        row = job_row(follow.existing(app.store, handle.id)) | {"existing": handle.existing}
        print_row(row, output, _lines)
        return 0


def read_object(text: str) -> dict[str, Any]:
    """Return the JSON object that `text` is, or names. Refuses anything else as wrong usage."""
    from workhorse.codec import load_json
    from workhorse.domain.errors import InvalidJob

    what = "The text"
    if text == "-":
        text, what = read_stdin(), "What was read from stdin"
    elif text.startswith("@"):
        path = Path(text[1:])
        try:
            text, what = path.read_text(encoding="utf-8-sig"), str(path)
        except (OSError, UnicodeDecodeError) as error:
            fail_usage(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.")
    try:
        value = load_json(text, what=what)
    except InvalidJob as error:
        fail_usage(f'{error} A JSON object is needed, such as \'{{"name": "x"}}\'.')
    if not isinstance(value, dict):
        fail_usage(f"{what} must be a JSON object of the kind's arguments by name.")
    return value


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that were given, as Python takes them."""
    reading = {"priority": _number_or_name, "timeout": _seconds_or_none}
    return {
        name: reading[name](value) if name in reading else value
        for name, value in options.items()
        if value not in (None, ())
    }


def _seconds_or_none(text: str) -> float | None:
    if text.strip().lower() == "none":
        return None
    try:
        return float(text)
    except ValueError:
        fail_usage(f"--timeout: {text!r} is neither a number of seconds nor none.")


def _number_or_name(text: str) -> int | str:
    try:
        return int(text)
    except ValueError:
        return text


def _lines(row: Any) -> Iterator[str]:
    already = " already" if row["existing"] else ""
    name, state = f"Job {row['id']} ({row['kind']})", paint(row["state"])
    yield f"{name} is{already} {state} in queue {row['queue']!r}."
