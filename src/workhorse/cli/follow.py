"""Following a job: looks with growing pauses between them, the record page by page."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from workhorse.cli.shared import say
from workhorse.domain.errors import NotFound, ResultTimeout

if TYPE_CHECKING:
    from workhorse.domain.events import Event
    from workhorse.domain.job import Job
    from workhorse.store.protocol import Store

FIRST_PAUSE: Final = 0.01
LAST_PAUSE: Final = 0.2
PAGE: Final = 1000
QUIET: Final = 2.0
"""Seconds a job may wait for a worker before we say that there is none."""


def existing(store: Store, job_id: int) -> Job:
    """Return the job, or raise `NotFound`."""
    job = store.get(job_id)
    if job is None:
        raise NotFound(f"There is no job {job_id}.")
    return job


def pages(
    store: Store, *, job_id: int | None = None, after: int = 0, output: bool = True
) -> Iterator[Event]:
    """Yield every event after `after` that is there now, page by page, oldest first."""
    while page := store.events(job_id=job_id, after=after, limit=PAGE, output=output):
        yield from page
        after = page[-1].seq


class Patience:
    """How long the user is ready to wait in all: `timeout` seconds from now, or for ever."""

    def __init__(self, timeout: float | None = None) -> None:
        self.timeout = timeout
        self._start = time.monotonic()

    def left(self) -> float:
        """Return the seconds left; endless, or not above zero when it is over."""
        if self.timeout is None:
            return float("inf")
        return self.timeout - (time.monotonic() - self._start)


def looks(store: Store, job_id: int, patience: Patience) -> Iterator[Job]:
    """Yield the job as it is, again and again, last when it is finished.

    Says so on stderr when nobody is there to run it. Raises `NotFound` for an id that does not
    exist (any more), `ResultTimeout` when the patience is over; the job goes on then.
    """
    speak_at, pause = time.monotonic() + QUIET, FIRST_PAUSE
    while True:
        job = existing(store, job_id)
        yield job
        if job.is_finished:
            return
        left = patience.left()
        if left <= 0:
            raise ResultTimeout(f"Job {job_id} is still {job.state} after {patience.timeout:g} s.")
        if time.monotonic() >= speak_at:
            speak_at = float("inf")
            _say_when_nobody_works(store, job)
        time.sleep(min(pause, left))
        pause = min(pause * 1.5, LAST_PAUSE)


def wait(store: Store, job_id: int, patience: Patience) -> Job:
    """Return the job once it is finished; raises as `looks` does."""
    return deque(looks(store, job_id, patience), maxlen=1).pop()


def follow(store: Store, job_id: int, patience: Patience, *, after: int = 0) -> Iterator[Event]:
    """Yield the job's events as they come, until it is finished; raises as `looks` does."""
    for _ in looks(store, job_id, patience):
        for event in pages(store, job_id=job_id, after=after):
            yield event
            after = event.seq


def _say_when_nobody_works(store: Store, job: Job) -> None:
    from workhorse.explain import nobody_for

    if job.state != "available":
        return
    if nobody := nobody_for(job, store.workers(), store.expired_workers()):
        say(nobody)
