"""Following one job to its end: lines as they come, a bar on a terminal, then the result."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, TextIO, TypeGuard, cast

from workhorse.cli.output import compact, paint, print_row
from workhorse.cli.rows import event_row, job_row, short_duration
from workhorse.domain.errors import NotFound, ResultTimeout
from workhorse.logs import wants_colour
from workhorse.screen import clean

if TYPE_CHECKING:
    from workhorse.domain.events import Event
    from workhorse.domain.job import Job
    from workhorse.store.protocol import Store

FIRST_PAUSE: Final = 0.01
LAST_PAUSE: Final = 0.2
PAGE: Final = 1000
QUIET: Final = 2.0
"""Seconds a job may wait for a worker before we say that there is none."""
BAR: Final = 30


def follow(
    store: Store, job_id: int, *, after: int = 0, timeout: float | None = None
) -> Iterator[Event | Job]:
    """Yield the job's events as they come, and last the finished job.

    Raises `NotFound` for an id that does not exist (any more), `ResultTimeout` after `timeout`
    seconds; the job goes on then.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    pause = FIRST_PAUSE
    while True:
        job = existing(store, job_id)
        page = store.events(job_id=job_id, after=after, limit=PAGE)
        yield from page
        if page:
            after, pause = page[-1].seq, FIRST_PAUSE
        if len(page) == PAGE:
            continue
        if job.is_finished:
            yield job
            return
        left = LAST_PAUSE if deadline is None else deadline - time.monotonic()
        if left <= 0:
            raise ResultTimeout(f"Job {job_id} is still {job.state} after {timeout:g} s.")
        time.sleep(min(pause, left))
        pause = min(pause * 1.5, LAST_PAUSE)


def wait(store: Store, job_id: int, *, timeout: float | None = None) -> Job:
    """Return the job once it is finished. Says so on stderr when nobody is there to run it."""
    deadline = None if timeout is None else time.monotonic() + timeout
    notice: float | None = time.monotonic() + QUIET
    pause = FIRST_PAUSE
    while True:
        job = existing(store, job_id)
        if job.is_finished:
            return job
        now = time.monotonic()
        if deadline is not None and now >= deadline:
            raise ResultTimeout(f"Job {job_id} is still {job.state} after {timeout:g} s.")
        if notice is not None and now >= notice:
            notice = None
            say_when_nobody_works(store, job)
        time.sleep(pause if deadline is None else min(pause, max(deadline - now, 0)))
        pause = min(pause * 1.5, LAST_PAUSE)


def is_event(item: Event | Job) -> TypeGuard[Event]:
    """Whether `item` is an event: told by its shape, to load neither class."""
    return hasattr(item, "seq")


def existing(store: Store, job_id: int) -> Job:
    """Return the job, or raise `NotFound`."""
    job = store.get(job_id)
    if job is None:
        raise NotFound(f"There is no job {job_id}.")
    return job


def say_when_nobody_works(store: Store, job: Job) -> None:
    """Say on stderr that the job waits for a worker that is not there."""
    if job.state == "available" and not any(
        job.queue in worker.queues and job.kind in worker.kinds for worker in store.workers()
    ):
        line = f"No worker runs {job.kind!r} from queue {job.queue!r}: start `workhorse worker`."
        print(line, file=sys.stderr)


def watch(store: Store, job_id: int, output: str, *, timeout: float | None = None) -> int:
    """Show the job's life until it ends, then its result; return the exit code.

    As a table everything goes to stdout; for the other shapes the live lines go to stderr and
    stdout holds the finished job alone.
    """
    view = LiveView(sys.stdout if output == "table" else sys.stderr)
    try:
        for item in follow(store, job_id, timeout=timeout):
            if is_event(item):
                view.show(item)
            else:
                view.close()
                return print_end(cast("Job", item), output)
    finally:
        view.close()
    raise AssertionError("follow ends with the job")


def print_end(job: Job, output: str) -> int:
    """Print how the job ended; return the exit code: 0 succeeded, 1 failed or cancelled."""
    row = job_row(job)
    if output == "table":
        print("\n".join(end_lines(row)))
    else:
        print_row(row, output, [])
    return 0 if job.state == "succeeded" else 1


def end_lines(row: dict[str, Any]) -> Iterator[str]:
    """Say in words how a finished job ended."""
    took = short_duration(row["duration"])
    after = f" in {took}" if took else ""
    tries = "" if row["attempt"] <= 1 else f", attempt {row['attempt']}"
    yield f"Job {row['id']} {paint(row['state'])}{after}{tries}."
    error = row["error"]
    if row["state"] == "succeeded":
        if row["result"] is not None:
            yield f"Result: {clean(compact(row['result']))}"
    elif error:
        yield f"{clean(str(error.get('type')))}: {clean(str(error.get('message')))}"


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


def stamped(row: dict[str, Any]) -> str:
    """Return one event as a line of a log: time of day (UTC), then what happened."""
    return f"{(row['at'] or '')[11:23]}  {describe(row)}"


def _log_text(data: dict[str, Any]) -> str:
    rest = [
        f"{key}={_fact(value)}"
        for key, value in data.items()
        if key != "message" and (key, value) != ("stream", "log")
    ]
    return " ".join([str(data.get("message", "")), *rest])


def _fact(value: Any) -> str:
    return value if isinstance(value, str) and value and " " not in value else compact(value)


class LiveView:
    """Event lines on a stream; on a terminal with a progress bar below them."""

    def __init__(self, stream: TextIO) -> None:
        """Draw on `stream`, with a bar only when it is a terminal."""
        self._stream = stream
        self._live = stream.isatty()
        self._bar = ""

    def show(self, event: Event) -> None:
        """Show one event as it comes."""
        row = event_row(event)
        if self._live and row["name"] == "progress":
            self._bar = self._draw(row["data"])
            self._write(f"\r\x1b[2K{self._bar}")
            return
        self._wipe()
        self._write(stamped(row) + "\n" + self._bar)

    def close(self) -> None:
        """Take the bar away. Idempotent."""
        self._wipe()
        self._bar = ""
        self._stream.flush()

    def _wipe(self) -> None:
        if self._bar:
            self._write("\r\x1b[2K")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()

    def _draw(self, data: dict[str, Any]) -> str:
        percent = max(0, min(100, int(data.get("percent") or 0)))
        full = BAR * percent // 100
        bar = "█" * full + "░" * (BAR - full)
        if wants_colour(self._stream):
            bar = f"\x1b[36m{bar}\x1b[0m"
        return f"{bar} {percent:3}%  {clean(str(data.get('message') or ''))[:40]}"
