"""The demo on the screen: a live picture on a terminal, a line per change anywhere else."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from typing import Final, Protocol, Self, TextIO

from workhorse.demo.paint import BOLD, DIM, PLAIN, Painter, Piece, mark_of, style_of
from workhorse.demo.plan import Act
from workhorse.domain.job import Job, State
from workhorse.screen import clean, speaks_unicode

Scene = Sequence[tuple[Act, Job]]
"""Every job of the demo as it stands at one moment."""

TITLE: Final = (
    Piece("Workhorse demo", BOLD),
    Piece("  one SQLite file, one supervised worker", DIM),
)
BAR: Final = 20
BARRED: Final = 72
"""From so many columns on, there is room for bars."""
ANNOUNCED: Final = 110
"""From so many columns on, there is room for what was announced of each job."""


class View(Protocol):
    """Shows jobs while they run. A context manager: leaving it leaves the terminal in order."""

    def show(self, scene: Scene) -> None: ...
    def note(self, text: str) -> None:
        """Say what the demo itself has done."""

    def __enter__(self) -> Self: ...
    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None: ...


def view_for(out: TextIO) -> View:
    """Return the view that suits `out`."""
    return LiveView(out) if is_screen(out) else LineView(out)


def is_screen(out: TextIO) -> bool:
    """Whether `out` is a terminal that can be drawn on, and knows our signs."""
    return out.isatty() and os.environ.get("TERM", "dumb") != "dumb" and speaks_unicode(out)


def story(act: Act, job: Job) -> str:
    """Say in few words how it is with a job: what it says, waits for, returned, or why not."""
    match job.state:
        case State.RUNNING:
            return "told to stop" if job.cancel_requested else clean(job.message or "")
        case State.SCHEDULED:
            wait = f"in {max(0.0, job.run_at / 1000 - time.time()):.1f} s"
            return clean(f"{wait}: {job.error.get('message')}") if job.error else wait
        case State.SUCCEEDED | State.FAILED | State.CANCELLED:
            return clean(act.tells(job))
        case _:
            return "to run again" if job.attempt else ""


class LineView:
    """One line per change, for logs and pipes."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._start = time.monotonic()
        self._seen: dict[int, tuple[State, int]] = {}

    def __enter__(self) -> Self:
        self._write(Painter(self._out).line(TITLE))
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the terminal as it is."""

    def show(self, scene: Scene) -> None:
        for act, job in scene:
            now = (job.state, job.attempt)
            if self._seen.get(job.id) != now:
                self._seen[job.id] = now
                said = f"attempt {job.attempt}" if job.state is State.RUNNING else story(act, job)
                self.note(f"{job.kind:<6}  {job.state:<9}  {said or act.shows}")

    def note(self, text: str) -> None:
        self._write(f"{_clock(self._start)}  {text}")

    def _write(self, line: str) -> None:
        print(line, file=self._out, flush=True)


class LiveView:
    """A line per job, drawn again in place. What stays at the end is the title and the notes."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._painter = Painter(out)
        self._start = time.monotonic()
        self._notes: list[list[Piece]] = []
        self._height = 0

    def __enter__(self) -> Self:
        self._write("\x1b[?25l")
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._draw([TITLE, *([[], *self._notes] if self._notes else [])])
        self._write("\x1b[?25h")

    def show(self, scene: Scene) -> None:
        columns = shutil.get_terminal_size().columns
        jobs = [list(_job_line(act, job, columns)) for act, job in scene]
        self._draw([TITLE, [], *jobs, [], *self._notes, self._status(scene)])

    def note(self, text: str) -> None:
        self._notes.append([Piece(f" {_clock(self._start)}  {text}", DIM)])

    def _status(self, scene: Scene) -> list[Piece]:
        if any(job.attempt for _, job in scene):
            ended = sum(job.is_finished for _, job in scene)
            status = f"{ended} of {len(scene)} jobs ended"
        else:
            status = "the worker is starting"
        return [Piece(f" {_clock(self._start)}  {status}")]

    def _draw(self, lines: Sequence[Sequence[Piece]]) -> None:
        """Replace the picture by `lines`, or by the last of them that fit the terminal."""
        columns, rows = shutil.get_terminal_size()
        fitting = [self._painter.line(line, columns - 1) for line in lines[-max(1, rows - 1) :]]
        up = f"\x1b[{self._height}A" if self._height else ""
        self._write(f"\r{up}" + "".join(f"{line}\x1b[K\n" for line in fitting) + "\x1b[J")
        self._height = len(fitting)

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()


def _job_line(act: Act, job: Job, columns: int) -> Iterator[Piece]:
    style, said = style_of(job.state), story(act, job)
    yield Piece(" ")
    yield mark_of(job.state)
    yield Piece(f" {job.kind:<6}  ", BOLD)
    if columns >= ANNOUNCED:
        yield Piece(f"{act.shows:<30}  ", DIM)
    yield Piece(f"{job.state:<9}  ", style)
    if columns >= BARRED:
        percent = 100 if job.state is State.SUCCEEDED else job.progress or 0
        length = BAR if columns >= ANNOUNCED else BAR // 2
        full = length * percent // 100
        yield Piece("█" * full, style)
        yield Piece("░" * (length - full), DIM)
        yield Piece(f" {percent:>3} %  " if job.attempt else " " * 8)
    if job.attempt > 1:
        yield Piece(f"attempt {job.attempt}  ", style)
    if said or columns < ANNOUNCED:
        yield Piece(said or act.shows, DIM if style == DIM else PLAIN)


def _clock(start: float) -> str:
    return f"{time.monotonic() - start:5.1f} s"
