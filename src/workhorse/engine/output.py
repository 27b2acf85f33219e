"""What running handlers say, on its way to the store: coalesced, rate-limited, byte-capped."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeVar

from workhorse.domain.events import Output, OutputLine
from workhorse.engine.clock import now

T = TypeVar("T", str, bytes)

BYTES_PER_ATTEMPT: Final = 1 << 20
"""Log bytes kept of one attempt."""
LINES_PER_SECOND: Final = 500
PUT_BACK_LINES: Final = 10_000
"""While the store is out of reach no more than this many lines wait for it."""
BURST: Final = 2000
"""A handler may log this many lines at once, then `LINES_PER_SECOND`."""
TAIL_LINES: Final = 100
TAIL_BYTES: Final = 64 << 10
"""Of what is over those limits the last is kept, as far as this: there stands why one fails."""

_CAPPED: Final = '{"message":"output is over %d bytes: of the rest only the last is kept"}'
_DROPPED: Final = '{"message":"%d lines were dropped: over %s"}'


class _Line(NamedTuple):
    """A log line that is not JSON yet: perhaps it is not kept."""

    text: Any
    to_json: Callable[[Any], str]

    @property
    def size(self) -> int:
        return len(self.text)


@dataclass(slots=True)
class _Allowance:
    """What one attempt may still say, and the last of what it may not say yet."""

    bytes_left: int = BYTES_PER_ATTEMPT - TAIL_BYTES
    lines: float = BURST
    refilled: float = 0.0
    held: deque[_Line] = field(default_factory=deque)
    """The latest lines. What falls out of it is dropped; the oldest is the next that may be said.
    So a flood is thinned out, and yet ends with its very last lines."""
    held_bytes: int = 0
    dropped: int = 0
    """Lines since the last that was said, and before those that are held."""
    is_capped: bool = False

    def hold(self, line: _Line) -> None:
        """Hold one more, and no more than a tail."""
        self.held.append(line)
        self.held_bytes += line.size
        while len(self.held) > TAIL_LINES or (self.held_bytes > TAIL_BYTES and len(self.held) > 1):
            self.release()
            self.dropped += 1

    def release(self) -> _Line:
        """Return the oldest that is held, and hold it no more."""
        line = self.held.popleft()
        self.held_bytes -= line.size
        return line

    def make_json(self) -> None:
        """Write what is held as JSON: that is longer, so the oldest may have to go."""
        lines, self.held, self.held_bytes = self.held, deque(), 0
        for text, to_json in lines:
            self.hold(_Line(to_json(text), str))

    def pass_over(self) -> None:
        """Drop one that would be held, with what is: both would be pushed out."""
        self.dropped += 1 + len(self.held)
        self.held.clear()
        self.held_bytes = 0


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
        self._speaking: set[tuple[int, int]] = set()
        self._allowances: dict[tuple[int, int], _Allowance] = {}
        self._notify = notify

    def __bool__(self) -> bool:
        """Whether there is something to take."""
        return bool(self._lines)

    def begin(self, job_id: int, attempt: int) -> None:
        """The attempt may speak, until it is to be forgotten."""
        self._speaking.add((job_id, attempt))

    def emit(self, job_id: int, attempt: int, name: Output, data: str) -> None:
        """Add a line of JSON; progress that no log line follows makes room for the next."""
        if name is Output.PROGRESS:
            self._add(self._note_progress, (job_id, attempt), data)
        else:
            self._add(self._log, (job_id, attempt), (data,), str)

    def emit_lines(
        self, job_id: int, attempt: int, lines: Sequence[T], to_json: Callable[[T], str]
    ) -> None:
        """Add log lines; those that will not be kept are not even made JSON of."""
        self._add(self._log, (job_id, attempt), lines, to_json)

    def catch_up(self) -> None:
        """Say what is held, as far as it may be said by now: who flooded may be silent for long."""
        with self._lock:
            held = [key for key, allowance in self._allowances.items() if allowance.held]
        for key in held:
            self._add(self._log, key, (), str)

    def _add(self, add: Callable[..., None], key: tuple[int, int], *what: Any) -> None:
        """Add something, if the attempt is not over: what it says then nobody takes."""
        with self._lock:
            if key not in self._speaking:
                return
            was_empty = not self
            add(key, *what)
            is_first = was_empty and bool(self)
        if is_first:
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
        if allowance.held or allowance.lines < 1 or allowance.bytes_left <= len(data):
            return False
        allowance.lines -= 1
        allowance.bytes_left -= len(data)
        return True

    def _allowance(self, key: tuple[int, int]) -> _Allowance:
        at = now()
        allowance = self._allowances.get(key)
        if allowance is None:
            allowance = self._allowances[key] = _Allowance(refilled=at)
        allowance.lines = min(BURST, allowance.lines + (at - allowance.refilled) * LINES_PER_SECOND)
        allowance.refilled = at
        return allowance

    def _log(self, key: tuple[int, int], lines: Sequence[T], to_json: Callable[[T], str]) -> None:
        allowance = self._allowance(key)
        self._let_out(key, allowance)
        for place, line in enumerate(lines):
            if allowance.held and len(lines) - place > TAIL_LINES:
                allowance.pass_over()
            else:
                allowance.hold(_Line(line, to_json))
                self._let_out(key, allowance)

    def _let_out(self, key: tuple[int, int], allowance: _Allowance) -> None:
        """Say what is held, as far as the attempt may."""
        while allowance.held and allowance.lines >= 1 and not allowance.is_capped:
            if allowance.bytes_left <= allowance.held[0].size:
                allowance.is_capped = True
                self._add_log(key, _CAPPED % BYTES_PER_ATTEMPT)
                return
            allowance.lines -= 1
            allowance.bytes_left -= self._say_next(key, allowance)

    def _say_next(self, key: tuple[int, int], allowance: _Allowance) -> int:
        """Say the oldest that is held, after how many before it were dropped; return its size."""
        if allowance.dropped:
            capped = f"{BYTES_PER_ATTEMPT} bytes of output"
            limit = capped if allowance.is_capped else f"{LINES_PER_SECOND} lines a second"
            self._add_log(key, _DROPPED % (allowance.dropped, limit))
            allowance.dropped = 0
        text, to_json = allowance.release()
        data = to_json(text)
        self._add_log(key, data)
        return len(data)

    def _add_log(self, key: tuple[int, int], data: str) -> None:
        if (progress := self._progress.get(key)) is not None:
            progress.followed = True
        self._lines.append(OutputLine(*key, Output.LOG, data))

    def forget(self, job_id: int, attempt: int) -> None:
        """The attempt is over: say the last it has said, and keep no count of it."""
        key = (job_id, attempt)
        with self._lock:
            self._speaking.discard(key)
            allowance = self._allowances.pop(key, None)
            if allowance is None:
                return
            allowance.make_json()
            while allowance.held:
                self._say_next(key, allowance)

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
