"""A job's life on the screen: a line for each event, a bar on a terminal, then the result."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Final, TextIO

import click

from workhorse.cli.follow import Patience, existing, follow
from workhorse.cli.output import as_json, paint, print_row
from workhorse.cli.rows import event_row, job_row, short_duration
from workhorse.cli.shared import say
from workhorse.explain import error_words
from workhorse.logs import wants_colour
from workhorse.screen import clean, cut, speaks_unicode

if TYPE_CHECKING:
    from workhorse.domain.job import Job
    from workhorse.store.protocol import Store

BAR: Final = 30
"""Columns of a bar, where there is room for it."""
MESSAGE: Final = 40
"""Columns of the word beside it."""


def watch(store: Store, job_id: int, output: str, *, timeout: float | None = None) -> int:
    """Show the job's life until it ends, then its result; return the exit code.

    As a table everything goes to stdout; for the other shapes the live lines go to stderr and
    stdout holds the finished job alone.
    """
    view = LiveView(sys.stdout if output == "table" else sys.stderr)
    with only_looking(job_id), closing(view):
        for event in follow(store, job_id, Patience(timeout)):
            view.show(event_row(event))
    return print_end(existing(store, job_id), output)


@contextmanager
def only_looking(job_id: int) -> Iterator[None]:
    """Say to who interrupts the block that the job is not interrupted with it."""
    try:
        yield
    except KeyboardInterrupt:
        say(f"\nJob {job_id} goes on: `workhorse jobs watch {job_id}` shows it.")
        raise


def print_end(job: Job, output: str) -> int:
    """Print how the job ended; return the exit code: 0 succeeded, 1 failed or cancelled."""
    print_row(job_row(job), output, end_lines)
    return 0 if job.state == "succeeded" else 1


def end_lines(row: Any) -> Iterator[str]:
    """Say in words how a finished job ended."""
    took = short_duration(row["duration"])
    after = f" in {took}" if took else ""
    tries = "" if row["attempt"] <= 1 else f", attempt {row['attempt']}"
    yield f"Job {row['id']} {paint(row['state'])}{after}{tries}."
    error = row["error"]
    if row["state"] == "succeeded":
        if row["result"] is not None:
            yield f"Result: {as_json(row['result'])}"
    elif error:
        yield clean(error_words(error))


def stamped(row: dict[str, Any]) -> str:
    """Return one event as a line of a log: time of day (UTC), then what happened."""
    return f"{(row['at'] or '')[11:23]}  {describe(row)}"


def describe(row: dict[str, Any]) -> str:
    """Return one event as one line of text, without its time."""
    data, name = row["data"], row["name"]
    if name == "log":
        return clean(_log_text(data))
    if name == "progress":
        message = data.get("message") or ""
        return clean(f"{data.get('percent')}% {message}".rstrip())
    attempt = f" attempt {row['attempt']}" if row["attempt"] else ""
    facts = " ".join(f"{key}={_fact(value)}" for key, value in data.items() if value is not None)
    return clean(f"{name}{attempt} {facts}".rstrip())


def _log_text(data: dict[str, Any]) -> str:
    rest = [
        f"{key}={_fact(value)}"
        for key, value in data.items()
        if key != "message" and (key, value) != ("stream", "log")
    ]
    return " ".join([str(data.get("message", "")), *rest])


def _fact(value: Any) -> str:
    return value if isinstance(value, str) and value and " " not in value else as_json(value)


class LiveView:
    """Event lines on a stream; on a terminal with a progress bar below them."""

    def __init__(self, stream: TextIO) -> None:
        """Draw on `stream`, with a bar only when it is a terminal that can take one back."""
        self._stream = stream
        self._live = stream.isatty() and os.environ.get("TERM") != "dumb"
        self._full, self._rest = "█░" if speaks_unicode(stream) else "#-"
        self._bar = ""

    def show(self, row: dict[str, Any]) -> None:
        """Show one event as it comes."""
        wipe = self._wiped()
        if self._live and row["name"] == "progress":
            self._bar = self._draw(row["data"])
            self._write(f"{wipe}{self._bar}")
            return
        if row["name"] != "log":
            self._bar = ""  # an edge: what the attempt said of its progress is over
        self._write(f"{wipe}{stamped(row)}\n{self._bar}")

    def close(self) -> None:
        """Take the bar away. Idempotent."""
        self._write(self._wiped())
        self._bar = ""

    def _wiped(self) -> str:
        return "\r\x1b[2K" if self._bar else ""

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()

    def _draw(self, data: dict[str, Any]) -> str:
        room = shutil.get_terminal_size().columns - 1
        size = max(min(BAR, room - len(" 100%")), 0)
        percent = max(0, min(100, int(data.get("percent") or 0)))
        full = size * percent // 100
        bar = self._full * full + self._rest * (size - full)
        if wants_colour(self._stream):
            bar = click.style(bar, fg="cyan")
        message = clean(str(data.get("message") or ""))
        words = cut(f" {percent:3}%  {message}".rstrip(), min(room - size, MESSAGE))
        return f"{bar}{words}"
