"""Jobs as the demo might see them, and a terminal for it to write on."""

from __future__ import annotations

import io
import json
import re
import time
from collections.abc import Sequence
from typing import Any

from workhorse.demo.watch import Sight
from workhorse.domain.job import Attempt, Job, Outcome, State
from workhorse.domain.retry import DEFAULT_BACKOFF

STEP = re.compile(r"\x1b\[(\??\d*)([A-Za-z])|(\r)|(\n)|([^\x1b\r\n]+)")


def a_job(kind: str, state: State = State.RUNNING, *, id: int = 1, **fields: Any) -> Job:
    """A job of the demo; `result` is given as its value."""
    now = int(time.time() * 1000)
    given = {"attempt": 1, "run_at": now, **fields}
    if "result" in given:
        given["result"] = json.dumps(given["result"])
    return Job(
        id=id,
        kind=kind,
        queue="trouble",
        state=state,
        priority=0,
        args="{}",
        failures=0,
        crashes=0,
        lost=0,
        max_attempts=1,
        timeout=None,
        backoff=DEFAULT_BACKOFF,
        enqueued_at=now,
        **given,
    )


def a_sight(job: Job, outcomes: Sequence[Outcome] = (Outcome.OK,), *, after: float = 0.0) -> Sight:
    """The job with attempts that ended so, each half a second long, the first `after` seconds."""
    start = job.enqueued_at + int(after * 1000)
    attempts = [
        Attempt(job.id, number, 1, start, start + 500, outcome)
        for number, outcome in enumerate(outcomes, start=1)
    ]
    return Sight(job, attempts)


class Terminal(io.TextIOWrapper):
    """A terminal that keeps what was written, and can tell what it shows."""

    def __init__(self, encoding: str = "utf-8", *, tty: bool = True) -> None:
        super().__init__(io.BytesIO(), encoding=encoding, errors="backslashreplace")
        self._tty = tty

    def isatty(self) -> bool:
        return self._tty

    @property
    def written(self) -> str:
        self.flush()
        assert isinstance(self.buffer, io.BytesIO)
        return self.buffer.getvalue().decode(self.encoding)

    @property
    def shown(self) -> list[str]:
        """The lines on the screen, after every movement of the cursor; colours are left out."""
        rows, row, column = [""], 0, 0
        for number, letter, back, down, text in STEP.findall(self.written):
            if back:
                column = 0
            elif down:
                row, column = row + 1, 0
                rows += [""] * (row + 1 - len(rows))
            elif text:
                rows[row] = (
                    rows[row][:column].ljust(column) + text + rows[row][column + len(text) :]
                )
                column += len(text)
            elif letter == "A":
                row -= int(number)
                assert row >= 0, "the cursor left the screen"
            elif letter == "K":
                rows[row] = rows[row][:column]
            elif letter == "J":
                rows[row:] = [rows[row][:column]]
        return [line.rstrip() for line in rows]
