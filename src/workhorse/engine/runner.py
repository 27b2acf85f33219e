"""The process a ``run="process"`` job runs in: one job at a time, and nothing else.

Run as ``python -m workhorse.engine.runner FD PARENT_PID APP``. It imports the app, says so, and
then runs what it is sent. A SIGTERM of the child's raises `Stopped` in the handler, so that its
``finally`` blocks run; a handler that goes on regardless is killed with everything it started.
"""

from __future__ import annotations

import _thread
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

from workhorse.domain.job import Claimed
from workhorse.domain.outcome import (
    AttemptOutcome,
    Completed,
    Failed,
    Failure,
    Rejected,
    Snoozed,
)
from workhorse.domain.retry import Backoff
from workhorse.engine.frames import BlockingFrames, Message
from workhorse.engine.proctree import adopt_orphans, die_with_parent, prefer_for_oom
from workhorse.engine.signals import be_usual_in_forks
from workhorse.engine.surroundings import Surroundings

if TYPE_CHECKING:
    from workhorse.domain.events import Output


AGAIN: Final = 0.01
"""Seconds until a `Stopped` that Python kept in is raised again."""


class Stopped(BaseException):
    """Raised in a handler that was told to end: time-out, cancel or drain."""


def pack_job(job: Claimed) -> Message:
    """Return a job as a message."""
    row = job._asdict()
    row["backoff"] = [job.backoff.base, job.backoff.factor, job.backoff.cap, job.backoff.jitter]
    return row


def unpack_job(row: Message) -> Claimed:
    """Return the job that `pack_job` packed."""
    return Claimed(**{**row, "backoff": Backoff(*row["backoff"])})


def pack_outcome(outcome: AttemptOutcome) -> list[Any]:
    """Return what a handler did, as a message. Only what a handler itself can bring about."""
    match outcome:
        case Completed(result):
            return ["completed", result]
        case Failed(error, permanent, out_of_memory):
            return ["failed", list(error), permanent, out_of_memory]
        case Rejected(reason):
            return ["rejected", reason]
        case Snoozed(delay, reason):
            return ["snoozed", delay, reason]
        case _:
            raise TypeError(f"a handler cannot end as {outcome!r}")


def unpack_outcome(row: list[Any]) -> AttemptOutcome:
    """Return the outcome that `pack_outcome` packed."""
    match row:
        case ["completed", result]:
            return Completed(result)
        case ["failed", error, permanent, out_of_memory]:
            return Failed(Failure(*error), permanent, out_of_memory)
        case ["rejected", reason]:
            return Rejected(reason)
        case ["snoozed", delay, reason]:
            return Snoozed(delay, reason)
        case _:
            raise TypeError(f"not an outcome: {row!r}")


class _Stop:
    """The child's wish that the attempt end: as a flag, and as one exception.

    It comes as SIGTERM, with a message that says it is the child's: another's SIGTERM, meant for
    a whole group of processes, is not heard. Until a handler runs it waits, blocked.

    Where Python lets no exception out (in a ``__del__``, in what is called at a fork) it comes
    again, until it is out.
    """

    def __init__(self, is_told: Callable[[], bool]) -> None:
        self.asked = False
        self._is_told = is_told
        self._raised = False
        self._unraisable = sys.unraisablehook
        sys.unraisablehook = self._kept_in
        self.disarm()
        signal.signal(signal.SIGTERM, self)

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        if not self._is_told():
            return
        self.asked = True
        if not self._raised:
            self._raised = True
            raise Stopped

    def _kept_in(self, what: sys.UnraisableHookArgs) -> None:
        if not isinstance(what.exc_value, Stopped):
            self._unraisable(what)
            return
        self._raised = False
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})  # a fork's end may be lost
        # Not `threading`: what was interrupted may hold its locks.
        _thread.start_new_thread(_tell_again, ())

    def arm(self) -> None:
        self.asked = self._raised = False
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})

    def disarm(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


def _tell_again() -> None:
    time.sleep(AGAIN)
    os.kill(os.getpid(), signal.SIGTERM)


def main(arguments: list[str]) -> int:
    """Serve until the child goes away."""
    fd, parent, app_spec = int(arguments[0]), int(arguments[1]), arguments[2]
    frames = BlockingFrames(socket.socket(fileno=fd))
    stop = _Stop(frames.waits)
    be_usual_in_forks()
    die_with_parent(parent)
    adopt_orphans()
    prefer_for_oom()
    os.set_inheritable(fd, False)  # noqa: FBT003 - the only way to say it
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]

    from workhorse.engine.forks import FORKS, flush  # noqa: PLC0415 - after the guards are up
    from workhorse.engine.invoke import call_sync  # noqa: PLC0415
    from workhorse.engine.loading import load_app  # noqa: PLC0415

    def say(job_id: int, attempt: int, name: Output, data: str) -> None:
        """Say of which attempt it is: a thread may do so when another runs."""
        if not FORKS.depth:
            frames.send({"output": name.value, "data": data, "of": [job_id, attempt]})

    FORKS.watch()
    app = load_app(app_spec)
    flush()
    frames.send({"ready": True})
    while (message := frames.receive()) is not None:
        if "stop" in message:
            continue  # it came too late
        frames.send({"begun": True})
        job = unpack_job(message)
        threads, surroundings = threading.active_count(), Surroundings.look()
        emit = partial(say, job.id, job.attempt)
        try:
            stop.arm()
            outcome = call_sync(app.specs[job.kind], job, emit, lambda: stop.asked)
        except Stopped as error:
            outcome = Failed(Failure("Stopped", str(error)))
        finally:
            stop.disarm()
        flush()  # what was printed is to be there before the end is
        spoilt = threading.active_count() > threads or not surroundings.are_left()
        frames.send({"outcome": pack_outcome(outcome), "spoilt": spoilt})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
