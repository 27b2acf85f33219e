"""The attempts of one child: those that run, each in a slot, and those ready for the next free one.

An attempt is started by the executor of its kind, may be told to end, and ends once; then its
slot is free, and how it ended is kept for the store.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from workhorse.domain.outcome import AttemptOutcome, Cancelled, Failed, Released, TimedOut
from workhorse.domain.transitions import settle
from workhorse.engine.board import NEVER, Board, Mark
from workhorse.engine.clock import now
from workhorse.engine.ended import Ended
from workhorse.engine.executors.base import Run
from workhorse.engine.executors.in_thread import ThreadExecutor
from workhorse.engine.executors.on_loop import AsyncExecutor
from workhorse.engine.executors.own_process import ProcessExecutor
from workhorse.explain import error_line
from workhorse.failure import failure_from
from workhorse.logs import log

if TYPE_CHECKING:
    from workhorse.domain.job import Claimed
    from workhorse.engine.config import WorkerConfig
    from workhorse.engine.executors.base import Executor
    from workhorse.engine.output import OutputBuffer
    from workhorse.spec import KindSpec


HOARD: Final = 0.25
"""A claimed job that could not start for so long goes back: what is urgent waits no longer."""


class Attempts:
    """What a child has at hand. Lives on the child's loop."""

    def __init__(
        self,
        kinds: Mapping[str, KindSpec],
        config: WorkerConfig,
        board: Board,
        output: OutputBuffer,
        *,
        worker: int,
        child: int,
        slots: int,
        keep_fds: tuple[int, ...],
        on_end: Callable[[], None],
    ) -> None:
        """Run at most `slots` at a time, each on the board; `on_end` is called after each end."""
        self.output = output
        self.ended = Ended()
        self.running: dict[int, Run] = {}
        """By slot."""
        self.ready: deque[Claimed] = deque()
        self.finished = 0
        """How many have ended since the start."""
        self.withheld = 0
        """Slots to leave free, for what still runs in children that are being replaced."""
        self._kinds = kinds
        self._board = board
        self._cancel_grace = config.cancel_grace
        self._names = {"worker": worker, "child": child}
        self._free = list(range(slots))
        self._taken_at = now()
        self._on_end = on_end
        self._tells = log.is_enabled_for(20)
        self._on_loop = AsyncExecutor(self)
        self._executors: dict[str, Executor] = {
            "async": self._on_loop,
            "thread": ThreadExecutor(self),
            "process": ProcessExecutor(
                self,
                config.app,
                folder=config.folder,
                cancel_grace=config.cancel_grace,
                max_memory_mib=config.max_memory_mib,
                keep_fds=keep_fds,
            ),
        }

    @property
    def room(self) -> int:
        """How many more could start at once; negative when more than that are ready."""
        return len(self._free) - self.withheld - len(self.ready)

    def known(self) -> set[tuple[int, int]]:
        """Return the (id, attempt) of all that run, are ready, or wait to be written down."""
        jobs = [*(run.job for run in self.running.values()), *self.ready]
        return {(one.id, one.attempt) for one in (*jobs, *self.ended)}

    # -- from claimed to ended ---------------------------------------------------------------

    def take(self, claimed: Iterable[Claimed]) -> None:
        """Have what was claimed ready; `start` starts it."""
        self.ready.extend(claimed)
        self._taken_at = now()

    def start(self) -> None:
        """Start what is ready, as long as slots are free."""
        while self.ready and len(self._free) > self.withheld:
            self._start(self.ready.popleft())

    def _start(self, job: Claimed) -> None:
        kind = self._kinds[job.kind]
        started = now()
        deadline = NEVER if job.timeout is None else started + job.timeout
        slot = self._free.pop()
        executor = self._executors[kind.run]
        self._board.put(slot, job.id, job.attempt, deadline, Mark.APART if executor.apart else 0)
        run = Run(job, kind, slot, started, deadline)
        self.running[slot] = run
        self.output.begin(job.id, job.attempt)
        try:
            executor.start(run)
        except Exception as error:  # noqa: BLE001 - no thread, no memory: this attempt has failed
            self.finish(run, Failed(failure_from(error)))

    def give_time(self, run: Run, *, ahead: float = 0.0) -> None:
        """Have the time limit of a run begin now, or so many seconds `ahead`."""
        if run.job.timeout is not None:
            run.deadline = now() + ahead + run.job.timeout
            self._board.set_deadline(run.slot, run.deadline)

    def finish(self, run: Run, outcome: AttemptOutcome) -> None:
        """Take the end of a run from its executor: free its slot, keep its change."""
        if run.over:
            return
        run.over = True
        del self.running[run.slot]
        job = run.job
        self.output.forget(job.id, job.attempt)
        try:
            change = settle(job, outcome, chance=random.random())
        except Exception as error:  # noqa: BLE001 - an outcome that cannot be settled is a failure
            outcome = Failed(failure_from(error), permanent=True)
            change = settle(job, outcome)
        self.ended.add(job, change)
        self._board.clear(run.slot)
        self._free.append(run.slot)
        self.finished += 1
        took = now() - run.started
        if self.ready:
            self.start()
        self._on_end()
        if self._tells:
            self.tell(
                "job ended",
                run,
                outcome=change.outcome.value,
                state=change.state.value,
                duration=round(took, 4),
                error=change.error and error_line(change.error),
            )

    def give_back(self, reason: str) -> None:
        """Release what has not started."""
        while self.ready:
            job = self.ready.popleft()
            self.ended.add(job, settle(job, Released(reason)))

    def give_back_hoard(self, at: float) -> bool:
        """Release what could not start for long; tell whether there was such."""
        if not self.ready or len(self._free) > self.withheld or at - self._taken_at <= HOARD:
            return False
        self.give_back("other jobs of this process take longer than they did")
        return True

    # -- ending what must end ----------------------------------------------------------------

    def release(self, reason: str) -> None:
        """End what runs: it is released, its budget untouched."""
        for run in list(self.running.values()):
            self._stop(run, Released(reason), Mark.RELEASED)

    def cancel(self, reasons: Mapping[tuple[int, int], str]) -> None:
        """End those of these (id, attempt) that run, and drop those that have not started."""
        for run in list(self.running.values()):
            if (reason := reasons.get((run.job.id, run.job.attempt))) is not None:
                self._stop(run, Cancelled(reason), Mark.CANCELLED)
        for job in list(self.ready):
            if (reason := reasons.get((job.id, job.attempt))) is not None:
                self.ready.remove(job)
                self.ended.add(job, settle(job, Cancelled(reason)))

    def end_late(self, at: float) -> Run | None:
        """Tell those whose time is over to end; return one that was told to and does not.

        See to those, too, that have ended without a word.
        """
        stuck = None
        self._on_loop.finish_unbegun(list(self.running.values()))
        for run in list(self.running.values()):
            if run.stop is None and at >= run.deadline:
                self._stop(run, TimedOut(run.job.timeout or 0.0), Mark.TIMED_OUT)
            elif self._is_stuck(run):
                stuck = run
        return stuck

    def only_stuck_left(self) -> bool:
        """Whether whatever still runs does not end although it was told to."""
        return all(self._is_stuck(run) for run in self.running.values())

    def _stop(self, run: Run, outcome: AttemptOutcome, mark: Mark) -> None:
        """Tell an attempt to end, once; it will be settled as `outcome` when it is over."""
        if run.stop is not None:
            return
        run.stop = outcome
        run.stopped_at = now()
        self._board.mark(run.slot, mark)
        self._executors[run.kind.run].stop(run)

    def _is_stuck(self, run: Run) -> bool:
        if run.stop is None or self._executors[run.kind.run].apart:
            return False
        return now() - run.stopped_at >= self._cancel_grace

    async def close(self) -> None:
        """End what idles: nothing runs any more."""
        for executor in self._executors.values():
            await executor.close()

    def tell(self, event: str, run: Run, **more: Any) -> None:
        """Log something of an attempt, with all it is known by."""
        job = run.job
        log.info(
            event,
            job_id=job.id,
            kind=job.kind,
            queue=job.queue,
            attempt=job.attempt,
            **self._names,
            **{key: value for key, value in more.items() if value is not None},
        )
