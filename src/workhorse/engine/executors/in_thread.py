"""``def`` handlers: a thread of the child each, from a pool that grows as needed."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING

from workhorse.domain.outcome import Completed, Released
from workhorse.engine.invoke import call_sync

if TYPE_CHECKING:
    from workhorse.domain.outcome import AttemptOutcome
    from workhorse.engine.executors.base import Home, Run


class ThreadExecutor:
    """Runs handlers in daemon threads. A thread cannot be ended: stopping only asks."""

    apart = False

    def __init__(self, home: Home) -> None:
        """Serve `home`, on the running loop."""
        self._home = home
        self._loop = asyncio.get_running_loop()
        self._work: SimpleQueue[Run | None] = SimpleQueue()
        self._done: deque[tuple[Run, AttemptOutcome]] = deque()
        self._threads = 0
        self._busy = 0
        self._told = False

    def start(self, run: Run) -> None:
        """Hand the attempt to an idle thread, or to a new one."""
        if self._busy == self._threads:
            name = f"workhorse-job-{self._threads + 1}"
            threading.Thread(target=self._serve, name=name, daemon=True).start()
            self._threads += 1
        self._busy += 1
        self._work.put(run)

    def _serve(self) -> None:
        while (run := self._work.get()) is not None:
            job = run.job
            emit = partial(self._home.output.emit, job.id, job.attempt)
            self._done.append((run, call_sync(run.kind, job, emit, run.stopping)))
            if not self._told:
                self._told = True
                with contextlib.suppress(RuntimeError):  # the loop ended first: nobody waits
                    self._loop.call_soon_threadsafe(self._collect)
            run = None

    def _collect(self) -> None:
        self._told = False
        while self._done:
            run, outcome = self._done.popleft()
            self._busy -= 1
            self._home.finish(run, outcome if _is_whole(run, outcome) else run.stop or outcome)

    def stop(self, run: Run) -> None:
        """Ask only: the handler sees ``ctx.cancelled``."""

    async def close(self) -> None:
        """Let the idle threads go."""
        for _ in range(self._threads):
            self._work.put(None)


def _is_whole(run: Run, outcome: AttemptOutcome) -> bool:
    """Whether an attempt that was to be given back has done all its work instead.

    A handler that knew may have left part of it for the next attempt.
    """
    return isinstance(run.stop, Released) and isinstance(outcome, Completed) and not run.told
