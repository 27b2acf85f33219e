"""The demo on the screen: a live picture on a terminal, a line per change anywhere else."""

from __future__ import annotations

import os
import shutil
import time
import unicodedata
from collections.abc import Sequence
from typing import Protocol, TextIO

from workhorse.domain.job import FINAL, Job, State

COLOURS = {
    State.SUCCEEDED: "32",
    State.FAILED: "31",
    State.CANCELLED: "33",
    State.RUNNING: "36",
    State.SCHEDULED: "2",
    State.AVAILABLE: "2",
    State.BLOCKED: "2",
}
BAR = 20


class View(Protocol):
    """Shows jobs while they run. A context manager: leaving it leaves the screen clean."""

    def show(self, jobs: Sequence[Job]) -> None: ...
    def note(self, text: str) -> None: ...
    def __enter__(self) -> View: ...
    def __exit__(self, *_: object) -> None: ...


class Paint:
    """Colours, when they are wanted: on a terminal that has them and where NO_COLOR is unset."""

    def __init__(self, out: TextIO) -> None:
        self.on = out.isatty() and not os.environ.get("NO_COLOR") and _term() != "dumb"

    def __call__(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self.on and colour else text

    def state(self, state: State, width: int = 0) -> str:
        return self(f"{state.value:<{width}}", COLOURS[state])


def view_for(out: TextIO) -> View:
    """Return the view that suits `out`."""
    return LiveView(out) if out.isatty() and _term() != "dumb" else LineView(out)


class LineView:
    """One line per change, for logs and pipes."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._start = time.monotonic()
        self._seen: dict[int, tuple[State, int]] = {}

    def __enter__(self) -> LineView:
        return self

    def __exit__(self, *_: object) -> None:
        self._out.flush()

    def show(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            now = (job.state, job.attempt)
            if self._seen.get(job.id) != now:
                self._seen[job.id] = now
                attempt = f", attempt {job.attempt}" if job.attempt else ""
                self._line(f"{job.kind:<7} {job.state.value}{attempt}{_why(job)}")

    def note(self, text: str) -> None:
        self._line(text)

    def _line(self, text: str) -> None:
        print(f"{time.monotonic() - self._start:6.1f} s  {text}", file=self._out, flush=True)


class LiveView:
    """A line per job, drawn again in place."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._paint = Paint(out)
        self._height = 0
        self._start = time.monotonic()
        self._notes: list[str] = []

    def __enter__(self) -> LiveView:
        self._write("\x1b[?25l")
        return self

    def __exit__(self, *_: object) -> None:
        self._write("\x1b[?25h")

    def note(self, text: str) -> None:
        self._notes.append(f"{time.monotonic() - self._start:6.1f} s  {text}")

    def show(self, jobs: Sequence[Job]) -> None:
        columns, rows = shutil.get_terminal_size()
        lines = [self._line(job, columns) for job in jobs]
        ended = sum(job.is_finished for job in jobs)
        lines += ["", self._status(ended, len(jobs))]
        lines += [self._paint(clip(note, columns - 1), "2") for note in self._notes]
        lines = lines[: max(1, rows - 1)]
        up = f"\x1b[{self._height}A" if self._height else ""
        self._write(f"{up}\r\x1b[J" + "".join(f"{line}\n" for line in lines))
        self._height = len(lines)

    def _status(self, ended: int, total: int) -> str:
        return f"{time.monotonic() - self._start:6.1f} s  {ended} of {total} jobs ended"

    def _line(self, job: Job, columns: int) -> str:
        percent = 100 if job.state is State.SUCCEEDED else job.progress or 0
        filled = BAR * percent // 100
        bar = "█" * filled + "░" * (BAR - filled)
        tries = f"attempt {job.attempt}" if job.attempt else ""
        head = f"{job.kind:<7} {job.state.value:<9} {bar} {percent:>3} %  {tries:<9}  "
        room = max(0, columns - 1 - len(head))
        message = clip(_message(job), room)
        return (
            f"{job.kind:<7} {self._paint.state(job.state, 9)} "
            f"{self._paint(bar, COLOURS[job.state])} {percent:>3} %  {tries:<9}  {message}"
        )

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()


def clip(text: str, width: int) -> str:
    """Return `text` on one line, at most `width` columns wide."""
    flat = "".join(c if unicodedata.category(c)[0] != "C" else " " for c in text)
    if len(flat) <= width:
        return flat
    return flat[: width - 1] + "…" if width > 0 else ""


def _message(job: Job) -> str:
    if job.state is State.RUNNING:
        return job.message or ""
    return _why(job).removeprefix(": ")


def _why(job: Job) -> str:
    """Why the job stands where it stands, when its last attempt had an error."""
    if job.error is None or job.state in {State.RUNNING, State.SUCCEEDED}:
        return ""
    again = "" if job.state in FINAL else "runs again: "
    return f": {again}{job.error.get('message', '')}"


def _term() -> str:
    return os.environ.get("TERM", "dumb")
