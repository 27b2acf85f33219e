"""The demo's last words: a table of every job, what went wrong, and what to look at next."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final, NamedTuple, TextIO

from workhorse.demo.paint import BOLD, DIM, Painter, Piece, Style, style_of
from workhorse.demo.plan import Act
from workhorse.demo.watch import Sight
from workhorse.demo.workspace import Workspace, near
from workhorse.screen import clean
from workhorse.urls import sqlite_url

NARROW: Final = 72
"""A terminal with fewer columns gets a few lines per job instead of a table."""
ROOMY: Final = 140
"""A terminal with fewer columns is not told again what was announced."""
LOG_END: Final = 15
"""Lines of the worker's log that are shown when something went wrong with it."""
RIGHT: Final = ("attempts", "duration")
"""The columns of numbers."""
GOOD: Final = Piece(" ✓ ", Style("green"))
BAD: Final = Piece(" ✗ ", Style("red"))

Line = Sequence[Piece]


class Ended(NamedTuple):
    """A job at the end of the demo, and in what it did not end as announced, if in anything."""

    act: Act
    sight: Sight
    fault: str | None


@dataclass(frozen=True, slots=True)
class Report:
    """How the demo went. `trouble` is what went wrong with the worker, if anything did."""

    jobs: Sequence[Ended]
    seconds: float
    trouble: str | None = None

    @property
    def exit_code(self) -> int:
        """0 only when every job ended as announced, and nothing was wrong with the worker."""
        return int(self.trouble is not None or any(job.fault for job in self.jobs))


def write_report(out: TextIO, report: Report, work: Workspace) -> None:
    """Write the table; then what went wrong, or else what to look at next."""
    columns = shutil.get_terminal_size().columns - 1 if out.isatty() else None
    lines = _blocks if columns is not None and columns < NARROW - 1 else _table
    painter = Painter(out)
    print(file=out)
    for line in lines(report.jobs, columns):
        print(painter.line(line, columns), file=out)
    print(file=out)
    for line in _faults(report, work) if report.exit_code else _hints(report, work):
        print(painter.line(line), file=out, flush=True)


def _table(jobs: Sequence[Ended], columns: int | None) -> Iterator[Line]:
    rows = [_row(job, announced=columns is None or columns >= ROOMY - 1) for job in jobs]
    titles = list(rows[0])
    widths = [max(len(title), *(len(row[title].text) for row in rows)) for title in titles]
    head = {title: Piece(title, BOLD) for title in titles}
    marks = [Piece("   "), *(BAD if job.fault else GOOD for job in jobs)]
    for mark, row in zip(marks, [head, *rows], strict=True):
        *cells, (_, last) = row.items()
        padded = [
            cell._replace(text=f"{cell.text:{'>' if title in RIGHT else '<'}{size}}  ")
            for (title, cell), size in zip(cells, widths, strict=False)
        ]
        yield [mark, *padded, last]


def _row(job: Ended, *, announced: bool) -> dict[str, Piece]:
    act, sight, _ = job
    return {
        "job": Piece(act.kind, BOLD),
        **({"announced": Piece(act.shows, DIM)} if announced else {}),
        "state": Piece(sight.job.state, style_of(sight.job.state)),
        "attempts": Piece(str(len(sight.attempts))),
        "outcomes": Piece(", ".join(_folded(sight.outcomes)) or "none"),
        "duration": Piece(_duration(sight.seconds_run)),
        "result": Piece(clean(act.tells(sight.job))),
    }


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"


def _folded(words: Sequence[str]) -> Iterator[str]:
    """Yield each run of one word as one: error, error, ok are ``error ×2`` and ``ok``."""
    for word, run in groupby(words):
        count = len(list(run))
        yield word if count == 1 else f"{word} ×{count}"


def _blocks(jobs: Sequence[Ended], _columns: int | None) -> Iterator[Line]:
    """Tell of each job in a few short lines."""
    for job in jobs:
        cells = _row(job, announced=False)
        yield [BAD if job.fault else GOOD, cells["job"], Piece(" "), cells["state"]]
        for title in ("attempts", "outcomes", "duration", "result"):
            yield [Piece(f"     {title:<9} ", DIM), cells[title]]


def _faults(report: Report, work: Workspace) -> Iterator[Line]:
    """Name what did not go as announced; of a bad worker, show the end of its log."""
    log = near(work.log)
    if report.trouble is not None:
        yield [BAD, Piece("worker: ", BOLD), Piece(f"{report.trouble}. The end of {log}:")]
        for line in work.log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_END:]:
            yield [Piece(f"   │ {clean(line)}", DIM)]
    for job in report.jobs:
        if job.fault is not None:
            yield [BAD, Piece(f"{job.act.kind}: ", BOLD), Piece(job.fault)]
    if report.trouble is None:
        yield [Piece(f"   The worker's own account is in {log}.")]


def _hints(report: Report, work: Workspace) -> Iterator[Line]:
    """Say that all is well, and which commands show more."""
    count = len(report.jobs)
    yield [GOOD, Piece(f"All {count} jobs ended as announced, in {report.seconds:.1f} s.", BOLD)]
    yield []
    command = _command()
    url = shlex.quote(sqlite_url(near(work.database)))
    retried = max(report.jobs, key=lambda job: len(job.sight.attempts)).sight.job.id
    hints = [
        ("Look closer", f"export WORKHORSE_DATABASE_URL={url}"),
        ("", f"{command} jobs list"),
        ("", f"{command} jobs show {retried}"),
        ("", f"less {shlex.quote(near(work.log))}"),
        ("Your own", f"{command} init"),
    ]
    for title, hint in hints:
        yield [Piece(f"   {title:<11}  ", DIM), Piece(hint)]


def _command() -> str:
    """Return how the program that runs is called from here."""
    program = Path(sys.argv[0])
    if program.name != "workhorse":
        return f"{shlex.quote(near(Path(sys.executable)))} -m workhorse"
    found = shutil.which("workhorse")
    if found is not None and Path(found).absolute() == program.absolute():
        return "workhorse"
    return shlex.quote(near(program.absolute()))
