"""What running handlers say, on its way to the store: coalesced, rate-limited, byte-capped."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from workhorse.domain.events import Output, OutputLine
from workhorse.engine.clock import now

T = TypeVar("T")

BYTES_PER_ATTEMPT: Final = 1 << 20
"""Log bytes kept of one attempt; the rest is counted, not kept."""
LINES_PER_SECOND: Final = 500
PUT_BACK_LINES: Final = 10_000
"""While the store is out of reach no more than this many lines wait for it."""
BURST: Final = 2000
"""A handler may log this many lines at once, then `LINES_PER_SECOND`."""

_CAPPED: Final = '{"message":"output is over %d bytes: the rest of this attempt is not kept"}'
_FLOODED: Final = '{"message":"%d lines were dropped: over %d lines a second"}'


@dataclass(slots=True)
class _Allowance:
    """What one attempt may still say."""

    bytes_left: int = BYTES_PER_ATTEMPT
    lines: float = BURST
    refilled: float = 0.0
    dropped: int = 0


@dataclass(slots=True)
class _Progress:
    """The latest progress of an attempt that waits to be taken."""

    place: int
    followed: bool = False
    """Whether a log line of the same attempt stands behind it."""


class OutputBuffer:
    """Collects lines from any thread until the worker's next turn takes them, in their order."""

    def __init__(self, notify: Callable[[], None]) -> None:
        """Call `notify` (from any thread) when the buffer goes from empty to not."""
        self._lock = threading.Lock()
        self._lines: list[OutputLine | None] = []
        self._progress: dict[tuple[int, int], _Progress] = {}
        self._allowances: dict[tuple[int, int], _Allowance] = {}
        self._notify = notify

    def __bool__(self) -> bool:
        """Whether there is something to take."""
        return bool(self._lines)

    def emit(self, job_id: int, attempt: int, name: Output, data: str) -> None:
        """Add a line of JSON; progress that no log line follows makes room for the next."""
        key = (job_id, attempt)
        with self._lock:
            was_empty = not self
            if name is Output.PROGRESS:
                self._note_progress(key, data)
            else:
                self._log(key, data)
        if was_empty:
            self._notify()

    def _note_progress(self, key: tuple[int, int], data: str) -> None:
        """Keep progress, at its place; never more than an attempt may say, but the latest always.

        The first until the next take is free. One more, behind a log line, counts as a line; when
        no line is left, the one before it goes.
        """
        line = OutputLine(*key, Output.PROGRESS, data)
        last = self._progress.get(key)
        if last is not None and not last.followed:
            self._lines[last.place] = line
            return
        if last is not None and not self._affords(key, data):
            self._lines[last.place] = None
        self._progress[key] = _Progress(len(self._lines))
        self._lines.append(line)

    def _affords(self, key: tuple[int, int], data: str) -> bool:
        """Take a line off what the attempt may still say, if it may."""
        allowance = self._allowance(key)
        if allowance.lines < 1 or allowance.bytes_left <= len(data):
            return False
        self._say_dropped(key, allowance)
        allowance.lines -= 1
        allowance.bytes_left -= len(data)
        return True

    def emit_lines(
        self, job_id: int, attempt: int, lines: Sequence[T], to_json: Callable[[T], str]
    ) -> None:
        """Add log lines; those that will not be kept are not even made JSON of."""
        for place, line in enumerate(lines):
            with self._lock:
                allowance = self._allowance((job_id, attempt))
                if allowance.bytes_left <= 0:
                    return
                if allowance.lines < 1:
                    allowance.dropped += len(lines) - place
                    return
            self.emit(job_id, attempt, Output.LOG, to_json(line))

    def _allowance(self, key: tuple[int, int]) -> _Allowance:
        at = now()
        allowance = self._allowances.setdefault(key, _Allowance(refilled=at))
        allowance.lines = min(BURST, allowance.lines + (at - allowance.refilled) * LINES_PER_SECOND)
        allowance.refilled = at
        return allowance

    def _log(self, key: tuple[int, int], data: str) -> None:
        allowance = self._allowance(key)
        if allowance.bytes_left <= 0:
            return
        if allowance.lines < 1:
            allowance.dropped += 1
            return
        self._say_dropped(key, allowance)
        allowance.lines -= 1
        allowance.bytes_left -= len(data)
        if allowance.bytes_left <= 0:
            data = _CAPPED % BYTES_PER_ATTEMPT
        self._add_log(key, data)

    def _add_log(self, key: tuple[int, int], data: str) -> None:
        if (progress := self._progress.get(key)) is not None:
            progress.followed = True
        self._lines.append(OutputLine(*key, Output.LOG, data))

    def _say_dropped(self, key: tuple[int, int], allowance: _Allowance) -> None:
        if allowance.dropped:
            self._add_log(key, _FLOODED % (allowance.dropped, LINES_PER_SECOND))
            allowance.dropped = 0

    def forget(self, job_id: int, attempt: int) -> None:
        """The attempt is over: say what was dropped, and keep no count of it."""
        if not self._allowances:
            return
        key = (job_id, attempt)
        with self._lock:
            allowance = self._allowances.pop(key, None)
            if allowance is not None:
                self._say_dropped(key, allowance)

    def take(self) -> list[OutputLine]:
        """Return what was said since the last take, and start afresh."""
        if not self:
            return []
        with self._lock:
            lines, self._lines, self._progress = self._lines, [], {}
        return [line for line in lines if line is not None]

    def put_back(self, lines: list[OutputLine]) -> None:
        """Keep lines the store could not take, before those that came since."""
        with self._lock:
            self._lines = [*lines, *self._lines][:PUT_BACK_LINES]
            self._progress = {}  # the places are no more where they were
