"""``async def`` handlers: a task each, on the child's loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

from workhorse.domain.outcome import AttemptOutcome, Failed
from workhorse.engine.invoke import call_async
from workhorse.failure import failure_from

if TYPE_CHECKING:
    from workhorse.engine.executors.base import Home, Run


class AsyncExecutor:
    """Runs a handler as a task. Stopping is `Task.cancel`; a handler may ignore it."""

    apart = False

    def __init__(self, home: Home) -> None:
        """Serve `home`, on the running loop."""
        self._home = home
        self._loop = asyncio.get_running_loop()

    def start(self, run: Run) -> None:
        """Begin the attempt as a task."""
        run.handle = self._loop.create_task(self._perform(run))

    async def _perform(self, run: Run) -> None:
        job = run.job
        outcome: AttemptOutcome
        try:
            emit = partial(self._home.output.emit, job.id, job.attempt)
            outcome = await call_async(run.kind, job, emit, run.stopping)
        except asyncio.CancelledError as error:
            outcome = Failed(failure_from(error))
        self._home.finish(run, run.stop or outcome)

    def stop(self, run: Run) -> None:
        """Cancel the task."""
        run.handle.cancel()

    def finish_unbegun(self, runs: Iterable[Run]) -> None:
        """Finish those whose task was cancelled, by us or a neighbour, before its first step."""
        for run in runs:
            if isinstance(run.handle, asyncio.Task) and run.handle.done():
                self._home.finish(run, run.stop or Failed(failure_from(asyncio.CancelledError())))

    async def close(self) -> None:
        """Nothing idles here."""
