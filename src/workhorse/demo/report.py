"""The demo's last words: a table of every job, what went wrong, and what to try next."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence
from typing import TextIO

from workhorse.demo.plan import Act
from workhorse.demo.view import COLOURS, Paint, clip
from workhorse.demo.watch import Sight
from workhorse.demo.workspace import Workspace
from workhorse.domain.job import State

HEAD = ("job", "state", "attempts", "outcomes", "ran", "what it returned, or why not")
Row = tuple[str, ...]


def write_table(out: TextIO, played: Sequence[tuple[Act, Sight]]) -> None:
    """Write one row per job. The last column is cut to fit a terminal, never elsewhere."""
    paint = Paint(out)
    rows = [_row(act, sight) for act, sight in played]
    widths = [max(len(row[n]) for row in [HEAD, *rows]) for n in range(len(HEAD) - 1)]
    room = shutil.get_terminal_size().columns - 1 - sum(widths) - 2 * len(widths)
    last = max(20, room) if out.isatty() else 10_000
    for row in [HEAD, tuple("─" * width for width in [*widths, len(HEAD[-1])]), *rows]:
        cells = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)]
        cells.append(clip(row[-1], last))
        if row[1] in COLOURS:
            cells[1] = paint(cells[1], COLOURS[State(row[1])])
        out.write("  ".join(cells).rstrip() + "\n")


def write_faults(out: TextIO, faults: Sequence[tuple[str, str]], work: Workspace) -> None:
    """Say of each job what did not go as announced."""
    for kind, fault in faults:
        out.write(f"Not as announced: {kind}: {fault}.\n")
    out.write(f"The worker's own account: {work.log}\n")


def write_story(out: TextIO, shell: str, work: Workspace) -> None:
    """Say what was seen and what to try next; `shell` is the store as a shell variable."""
    story = (
        "What you saw: one SQLite file took eight jobs, and a supervised worker ran them. A failure, a "
        "time-out, a kill -9, a cancel and a delay each ended the way the table says; nothing was lost."
    )
    out.write(textwrap.fill(story, min(100, shutil.get_terminal_size().columns)) + "\n")
    out.write(f"Look closer:  {shell} workhorse jobs list\n")
    out.write(f"              {shell} workhorse jobs logs ID\n")
    out.write(f"              less {work.log}\n")
    out.write("Your own:     workhorse init\n")


def _row(act: Act, sight: Sight) -> Row:
    job = sight.job
    return (
        job.kind,
        job.state.value,
        str(len(sight.attempts)),
        ", ".join(sight.outcomes) or "none",
        f"{sight.seconds_run:.1f} s",
        _returned(act, sight),
    )


def _returned(act: Act, sight: Sight) -> str:
    if sight.job.state is State.SUCCEEDED:
        return act.says(sight.result)
    return str((sight.job.error or {}).get("message", "not ended"))
