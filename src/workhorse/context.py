"""What a running handler may say and ask: progress, log lines, its fence, whether to stop.

A handler gets a `Context` when its first parameter is annotated with it, or is named ``ctx``.
`Reject` and `Snooze` are raised by a handler to end its attempt in a way of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from pydantic_core import to_json

from workhorse.codec import is_suspicious
from workhorse.domain.events import Output
from workhorse.domain.retry import MAX_DELAY
from workhorse.text import clean_text, safe_text

LINE_LIMIT: Final = 16 * 1024
"""Longest progress or log line, in bytes of JSON."""
TEXT_LIMIT: Final = 8 * 1024
_RESERVED: Final = frozenset({"message", "stream", "percent"})


class Reject(Exception):
    """Raised by a handler: this job can never succeed, so it fails now, whatever its budget."""

    def __init__(self, reason: str = "rejected") -> None:
        super().__init__(reason)
        self.reason = safe_text(reason)


class Snooze(Exception):
    """Raised by a handler: run this job again in `seconds`; no attempt of the budget is used."""

    def __init__(self, seconds: float | timedelta, reason: str | None = None) -> None:
        super().__init__(seconds, reason)
        delay = seconds.total_seconds() if isinstance(seconds, timedelta) else float(seconds)
        if not 0 <= delay <= MAX_DELAY:
            raise ValueError(f"Snooze takes 0 to {MAX_DELAY:.0f} seconds, not {seconds!r}.")
        self.seconds = delay
        self.reason = None if reason is None else safe_text(reason)


class Context:
    """One attempt, as its handler sees it. Safe to use from any thread of its process.

    What a process says that the handler itself has forked is lost; if it leaves the handler, it
    ends.

    `emit` takes one line on its way to the store; how many lines and bytes an attempt may
    write is its business. `stopping` tells whether the attempt was asked to end.
    """

    __slots__ = ("_emit", "_stopping", "attempt", "job_id", "kind", "queue")

    def __init__(
        self,
        *,
        job_id: int,
        attempt: int,
        kind: str,
        queue: str,
        emit: Callable[[Output, str], None],
        stopping: Callable[[], bool],
    ) -> None:
        self.job_id = job_id
        self.attempt = attempt
        self.kind = kind
        self.queue = queue
        self._emit = emit
        self._stopping = stopping

    def __repr__(self) -> str:
        return f"Context({self.kind!r}, job_id={self.job_id}, attempt={self.attempt})"

    @property
    def fence(self) -> str:
        """A text no other attempt of any job has: show it to outside systems that can check it."""
        return f"{self.job_id}:{self.attempt}"

    @property
    def cancelled(self) -> bool:
        """Whether this attempt was asked to stop (cancelled, timed out, or the worker drains)."""
        return self._stopping()

    def progress(self, percent: float, message: str = "") -> None:
        """Say how far the job is: 0 to 100 (clamped), and a short word about it."""
        data = {"percent": _percent(percent), "message": safe_text(message, TEXT_LIMIT)}
        self._emit(Output.PROGRESS, to_json(data).decode())

    def log(self, message: object, /, **fields: Any) -> None:
        """Write one line to the job's stream, with `fields` as data beside it.

        A line is kept up to 16 KiB; odd text is cleaned and odd values are written as text. A field
        called ``message``, ``stream`` or ``percent`` gets an underscore: ``message_``.
        """
        line: dict[str, Any] = {"message": safe_text(message, TEXT_LIMIT), "stream": "log"}
        if fields:
            for name, value in fields.items():
                line[f"{name}_" if name in _RESERVED else name] = value
            self._emit(Output.LOG, _line(line))
        else:
            self._emit(Output.LOG, to_json(line).decode())


def _percent(percent: float) -> int:
    """Return a whole number from 0 to 100, whatever was given."""
    try:
        return int(min(100, max(0, percent)))
    except (TypeError, ValueError, OverflowError):
        return 0


def _line(line: dict[str, Any]) -> str:
    """Return a log line as JSON text that every store takes, at most 16 KiB long."""
    try:
        raw = to_json(line, fallback=safe_text, inf_nan_mode="strings")
        if len(raw) <= LINE_LIMIT and not is_suspicious(raw):
            return raw.decode()
    except Exception:  # noqa: BLE001 - a field's value may do anything when looked at
        return _cut_line(line)
    return _cut_line(line)


def _cut_line(line: dict[str, Any]) -> str:
    """Return the line with each field as short, clean text; what is over the limit is left out."""
    kept = {"message": line["message"], "stream": line["stream"]}
    room = LINE_LIMIT - len(to_json(kept)) - 32
    for name, value in line.items():
        if name in kept:
            continue
        part = {clean_text(name, 128): safe_text(value, 1024)}
        size = len(to_json(part))
        if size > room:
            kept["cut"] = "true"
            break
        kept.update(part)
        room -= size
    return to_json(kept).decode()


__all__ = ["Context", "Reject", "Snooze"]
