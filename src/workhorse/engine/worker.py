"""The claim → run → settle loop of one child.

One loop, no timer and no task per job beyond the handler's own: each *turn* hands the store
what has ended since the last turn and asks for as many jobs as there is room for, in one
transaction on a thread of its own; meanwhile the jobs of the turn before run on. A flood of
short jobs thus shares a commit by the hundred, and a single job is settled at once. When nothing
runs, the turn needs no thread: the loop would only wait for it. On a store that can do two things
at once, a flood is settled by one turn (the flush) while others claim.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import structlog

from workhorse.domain.errors import Unavailable
from workhorse.domain.job import Outcome, State
from workhorse.domain.outcome import (
    AttemptOutcome,
    Cancelled,
    Failed,
    Failure,
    Released,
    TimedOut,
)
from workhorse.domain.transitions import Change, Verb, settle
from workhorse.engine.board import NEVER, Board, Mark
from workhorse.engine.clock import happens, now
from workhorse.engine.executors.base import Run
from workhorse.engine.executors.in_process import ProcessExecutor
from workhorse.engine.executors.in_thread import ThreadExecutor
from workhorse.engine.executors.on_loop import AsyncExecutor
from workhorse.engine.outage import Outage
from workhorse.engine.output import OutputBuffer
from workhorse.failure import failure_from
from workhorse.store.protocol import ClaimRequest, Settled, Turn, first_due, wanted_kinds

if TYPE_CHECKING:
    from workhorse.domain.events import OutputLine
    from workhorse.domain.job import Claimed
    from workhorse.engine.config import WorkerConfig
    from workhorse.engine.executors.base import Executor
    from workhorse.kind import KindSpec
    from workhorse.store.protocol import WorkerStore

log = structlog.get_logger("workhorse.worker")

TICK: Final = 0.1
"""How often deadlines are looked at while something runs: the precision of a timeout."""
BATCH: Final = 2000
"""Most jobs claimed in one turn."""
AHEAD: Final = 0.1
"""Jobs are claimed ahead of free slots for so many seconds, at the rate they lately ended."""
RATE_WINDOW: Final = 0.01
"""Seconds after which that rate is taken anew, at the latest: a flood is seen once it is one."""
TURNOVER: Final = 2
"""Times each slot must have been freed in that window: slow jobs are never claimed ahead."""
HOARD: Final = 0.25
"""A claimed job that could not start for so long goes back: what is urgent waits no longer."""
LATE: Final = 60.0
"""Seconds within which a turn that was not answered may still be carried out."""
OVERLAP: Final = 50
"""In a flood of so many ended jobs a turn, a store that can settle and claim side by side does."""
FLOOD: Final = 250
"""Ended jobs for which a flush goes on, and jobs for which one claims beside it."""
UNSETTLED: Final = 2 * BATCH
"""Ended jobs that wait for a flush, at which no more are claimed beside it."""
GIVE_WAY: Final = 0.0005
"""Seconds for which the loop of a flood lets go of the interpreter, so that a turn's thread sends
what it was given. By itself it lets go only to look at its sockets, for a moment: a thread that
waits comes too late each time, until the jobs at hand have all run."""
TURN_BYTES: Final = 8 * 1024 * 1024
"""Results written down in one turn, and arguments claimed in one. Ten times as much takes a
connection a hundred times as long."""
HELD_UP: Final = 1.0
"""Seconds until an end is handed in again that another's transaction kept from being written."""
GLANCE: Final = 0.01
"""While others ring, a look that finds nothing is repeated after so many seconds, then ever later:
who has rung a moment ago does not ring again, and counts on this."""
CANCEL_LOOK: Final = 0.5
OUTPUT_FLUSH: Final = 0.1


class Worker:
    """Runs the jobs of one child until it is drained. Lives on the child's loop."""

    def __init__(
        self,
        store: WorkerStore,
        kinds: Mapping[str, KindSpec],
        config: WorkerConfig,
        board: Board,
        *,
        worker: int,
        child: int,
        solo: bool,
        keep_fds: tuple[int, ...] = (),
    ) -> None:
        """Serve `worker` as its child number `child`; with `solo`, one suspect at a time."""
        self.worker = worker
        self.child = child
        self.solo = solo
        self.concurrency = 1 if solo else config.concurrency
        self.config = config
        self.finished = 0
        self.on_condemned: Callable[[], None] = lambda: None
        self.on_lease_lost: Callable[[], None] = lambda: None
        self.on_scheduled: Callable[[float], None] = lambda _delay: None
        """Told in how many seconds the first of the jobs just given back is due."""
        self.least_poll = 0.0
        """Least seconds between two looks: more than none while others ring for new jobs."""
        self.output = OutputBuffer(self._output_waits)
        self._store = store
        self._kinds = kinds
        self._claimable = wanted_kinds(kinds)
        self._board = board
        self._free = list(range(self.concurrency))
        self._running: dict[int, Run] = {}
        self._ready: deque[Claimed] = deque()
        self._settled: list[Settled] = []
        self._flush: asyncio.Task[None] | None = None
        """In a flood: a turn that settles, while others claim."""
        self._held_up: list[Settled] = []
        self._held_up_at = 0.0
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._hungry = True
        self._draining = False
        self._condemned = False
        self._started_last = now()
        self._burst_done = False
        self._unanswered_at = 0.0
        self._adopt_at = NEVER
        self._glance = GLANCE
        self._prefetch = 0
        self._most_ahead = BATCH
        """One turn's jobs; in a flood of one sort, where others run while a turn claims, two's."""
        self._job_bytes = 1
        """Of the arguments of a job, on average, in the last claim."""
        self._rated_at = now()
        self._rated_finished = 0
        self._log_jobs = log.is_enabled_for(20) if hasattr(log, "is_enabled_for") else True
        self._db = ThreadPoolExecutor(1, thread_name_prefix="workhorse-store")
        self._claiming = ThreadPoolExecutor(1, thread_name_prefix="workhorse-claim")
        # Cancel requests are looked for while a turn waits for its turn to write.
        self._reading = ThreadPoolExecutor(1, thread_name_prefix="workhorse-cancel")
        self._executors: dict[str, Executor] = {
            "async": AsyncExecutor(self),
            "thread": ThreadExecutor(self),
            "process": ProcessExecutor(
                self, config.app, cancel_grace=config.cancel_grace, keep_fds=keep_fds
            ),
        }

    # -- what the child tells its worker -------------------------------------------------

    def wake(self) -> None:
        """Look now: something may have been enqueued or cancelled."""
        self._hungry = True
        self._wake.set()

    def drain(self) -> None:
        """Claim no more, give back what has not started; `run` returns when nothing runs."""
        self._draining = True
        self._give_back("the worker is draining")
        self._wake.set()

    def abandon(self, reason: str) -> None:
        """End what still runs: it is released, its budget untouched."""
        self.drain()
        for run in list(self._running.values()):
            self._stop(run, Released(reason), Mark.RELEASED)

    @property
    def idle(self) -> bool:
        """Whether nothing runs and nothing waits to be written down."""
        return not (self._running or self._ready) and self._all_written()

    @property
    def running(self) -> int:
        """How many attempts run now."""
        return len(self._running)

    # -- the loop ------------------------------------------------------------------------

    async def run(self) -> None:
        """Claim, run and settle until drained and idle (or condemned with nothing else left)."""
        self._board.turned(now())  # its first job may hold the interpreter before the first tick
        ticker = self._loop.create_task(self._tick())
        ticker.add_done_callback(lambda _: self._wake.set())
        outage = Outage()
        try:
            while not (self._draining and self._only_condemned_left() and self._all_written()):
                if ticker.done():
                    ticker.result()
                adopting = now() >= self._adopt_at
                request = self._request()
                if not (adopting or request or self._can_write()):
                    await self._sleep()
                    continue
                try:
                    if adopting:
                        await self._adopt()  # a store that can be read may not yet be written to
                    else:
                        await self._turn(request)
                        outage.is_over()
                except Unavailable as error:
                    await outage.wait(error)
        finally:
            ticker.cancel()
            if self._flush is not None:
                self._flush.cancel()
            for executor in self._executors.values():
                await executor.close()
            self._db.shutdown(wait=False)
            self._claiming.shutdown(wait=False)
            self._reading.shutdown(wait=False)

    def _to_write(self) -> bool:
        return bool(self._settled or self.output or self._flush)

    def _all_written(self) -> bool:
        return not (self._to_write() or self._held_up)

    def _can_write(self) -> bool:
        return self._to_write() if self._flush is None else self._flush.done()

    def _only_condemned_left(self) -> bool:
        return all(self._is_overdue(run) for run in self._running.values())

    def _request(self) -> ClaimRequest | None:
        """Return what to claim now, if anything: free slots, and a little ahead of a flood."""
        if self._draining or not self._hungry:
            return None
        if self._has_plenty() or (self._store.overlaps and len(self._settled) >= UNSETTLED):
            return None
        room = len(self._free) - len(self._ready) + self._prefetch
        if room <= 0:
            return None
        limit = min(room, BATCH, max(self.concurrency, TURN_BYTES // self._job_bytes))
        return ClaimRequest(self.child, self.config.queues, self._claimable, limit, self.solo)

    def _has_plenty(self) -> bool:
        """Whether a claim beside a flush can wait: it is for hundreds, not for a slot or two.

        It does not wait for longer: what is ready is run several times as fast as it is claimed.
        """
        enough = max(self._prefetch // 2, self._prefetch - FLOOD)
        return self._flush is not None and len(self._ready) > enough

    async def _turn(self, request: ClaimRequest | None) -> None:
        """Write down what has ended, and claim; in a flood side by side, neither for the other."""
        if self._flush is not None and self._flush.done():
            flush, self._flush = self._flush, None
            flush.result()
        if self._flush is not None:
            await self._exchange([], [], request)
            return
        settled, output = self._take_ended(), self.output.take()
        if len(settled) >= OVERLAP and self._store.overlaps:
            self._flush = self._loop.create_task(self._settle_flood(settled, output))
            self._flush.add_done_callback(lambda _: self._wake.set())
            settled, output = [], []
        if settled or output or request is not None:
            await self._exchange(settled, output, request)

    async def _settle_flood(self, settled: list[Settled], output: list[OutputLine]) -> None:
        """Write down what has ended, and what ends meanwhile, until it is no flood any more."""
        await self._exchange(settled, output, None)
        while len(self._settled) >= FLOOD:
            await self._exchange(self._take_ended(), self.output.take(), None)

    def _take_ended(self) -> list[Settled]:
        """Take what has ended, from the first on, as far as one turn may carry it."""
        left = TURN_BYTES
        for place, one in enumerate(self._settled):
            left -= len(one.change.result or "")
            if left < 0 and place:
                taken, self._settled = self._settled[:place], self._settled[place:]
                return taken
        taken, self._settled = self._settled, []
        return taken

    async def _exchange(
        self,
        settled: list[Settled],
        output: list[OutputLine],
        request: ClaimRequest | None,
    ) -> None:
        """Do one transaction with the store, and start what it claimed."""
        if request is not None:
            self._hungry = False
        try:
            turn = await self._write(settled, output, request)
        except Unavailable:
            self._unanswered_at = self._adopt_at = now()
            self._settled = settled + self._settled
            self._hungry = True
            self.output.put_back(output)
            raise
        except Exception as error:
            if not settled and not output:
                raise
            log.error("the store refuses what is to be written", error=repr(error))
            self._hungry = True
            if request is not None:  # it may have been carried out all the same
                self._unanswered_at = self._adopt_at = now()
            await self._write_singly(settled)
            return
        self._look_ahead()
        if (due := first_due(settled)) is not None:
            self.on_scheduled(due)
        self._heed(turn, settled)
        if request is not None:
            self._hungry |= len(turn.claimed) == request.limit
            self._burst_done = self.config.burst and not turn.claimed
        if turn.claimed:
            self._job_bytes = sum(len(job.args) for job in turn.claimed) // len(turn.claimed) or 1
            self._most_ahead = 2 * BATCH if self._store.overlaps and _alike(turn.claimed) else BATCH
            self._ready.extend(turn.claimed)
            self._started_last = now()
            if self._draining:
                self._give_back("the worker is draining")
            self._start_ready()

    async def _write(
        self,
        settled: list[Settled],
        output: Sequence[OutputLine] = (),
        request: ClaimRequest | None = None,
    ) -> Turn:
        take_turn = partial(self._store.turn, self.worker, settled, output, request)
        if not self._running and self._flush is None:
            # The loop has nothing else to do: the way to a thread is saved.
            return take_turn()
        beside = self._flush is not None and request is not None
        turn = self._loop.run_in_executor(self._claiming if beside else self._db, take_turn)
        if self._prefetch and self._store.overlaps:
            time.sleep(GIVE_WAY)  # noqa: ASYNC251 - for the thread
        return await turn

    async def _write_singly(self, settled: list[Settled]) -> None:
        """Settle one by one what was refused together: what is refused alone fails for that."""
        while settled:
            one = settled[0]
            try:
                try:
                    turn = await self._write([one])
                except Unavailable:
                    raise
                except Exception as error:  # noqa: BLE001 - else its end is never written down
                    turn = await self._write([one._replace(change=_unrecordable(error))])
            except Unavailable:
                self._settled = settled + self._settled
                raise
            self._heed(turn, settled[:1])
            settled = settled[1:]

    def _heed(self, turn: Turn, settled: Sequence[Settled]) -> None:
        """Do what follows from those of `settled` that were not written down."""
        if turn.stale:
            self._lease_lost(turn.stale)
        if turn.held_up:
            held_up = set(turn.held_up)
            self._held_up += [one for one in settled if (one.id, one.attempt) in held_up]
            self._held_up_at = now()

    def _hand_in_again(self) -> None:
        """Write down, if it can be by now, what was held up."""
        for one in self._held_up:
            log.warning(
                "a job that has ended is kept by another's open transaction",
                job_id=one.id,
                attempt=one.attempt,
                worker=self.worker,
            )
        self._settled += self._held_up
        self._held_up = []
        self._wake.set()

    async def _adopt(self) -> None:
        """Take on what a turn has claimed whose answer was lost on the way.

        The store may carry it out when nobody waits for it any more (a statement that waits for
        a lock, a network that held it back), so this is done again, less and less often.
        """
        if self._flush is not None:
            await asyncio.wait({self._flush})
        late = now() - self._unanswered_at
        held = await self._loop.run_in_executor(self._db, self._store.held, self.worker, self.child)
        known = {(run.job.id, run.job.attempt) for run in self._running.values()}
        known |= {(job.id, job.attempt) for job in self._ready}
        known |= {(one.id, one.attempt) for one in (*self._settled, *self._held_up)}
        self._adopt_at = now() + max(1.0, late) if late < LATE else NEVER
        self._ready.extend(job for job in held if (job.id, job.attempt) not in known)
        if self._draining:
            self._give_back("the worker is draining")
        self._start_ready()

    def _look_ahead(self) -> None:
        """Judge how many jobs will be wanted before the next turn is through."""
        at = now()
        elapsed, ended = at - self._rated_at, self.finished - self._rated_finished
        turned_over = ended > TURNOVER * self.concurrency
        if turned_over or elapsed >= RATE_WINDOW:
            flood = turned_over and not self.solo
            ahead = min(int(ended * AHEAD / elapsed), self._most_ahead) if flood else 0
            # Few may have ended because there were none left to run: that says little.
            self._prefetch = max(ahead, self._prefetch * 3 // 4)
            self._rated_at, self._rated_finished = at, self.finished

    async def _sleep(self) -> None:
        """Wait to be woken; look anyway after the poll interval."""
        self._wake.clear()
        if self._draining:
            await self._wake.wait()
            return
        poll = max(self.config.poll_interval, self.least_poll)
        wait = min(poll, self._glance) if self.least_poll else poll
        wait *= random.uniform(0.75, 1.25)
        if await happens(self._wake, max(0.0, min(wait, self._adopt_at - now()))):
            self._glance = GLANCE
        else:
            self._glance *= 4
            self._hungry = True

    # -- starting and finishing ----------------------------------------------------------

    def _start_ready(self) -> None:
        while self._ready and self._free:
            self._start(self._ready.popleft())

    def _start(self, job: Claimed) -> None:
        kind = self._kinds[job.kind]
        started = now()
        deadline = NEVER if job.timeout is None else started + job.timeout
        slot = self._free.pop()
        executor = self._executors[kind.run]
        self._board.put(slot, job.id, job.attempt, deadline, Mark.APART if executor.apart else 0)
        run = Run(job, kind, slot, started, deadline)
        self._running[slot] = run
        try:
            executor.start(run)
        except Exception as error:  # noqa: BLE001 - no thread, no memory: this attempt has failed
            self.finish(run, Failed(failure_from(error)))

    def finish(self, run: Run, outcome: AttemptOutcome) -> None:
        """Take the end of a run from its executor: free its slot, keep its change."""
        if run.over:
            return
        run.over = True
        del self._running[run.slot]
        job = run.job
        self.output.forget(job.id, job.attempt)
        try:
            change = settle(job, outcome, chance=random.random())
        except Exception as error:  # noqa: BLE001 - an outcome that cannot be settled is a failure
            outcome = Failed(failure_from(error), permanent=True)
            change = settle(job, outcome)
        self._settled.append(Settled(job.id, job.attempt, change))
        self._board.clear(run.slot)
        self._free.append(run.slot)
        self.finished += 1
        if self._log_jobs:
            self._log(
                "job ended",
                run,
                outcome=change.outcome.value,
                state=change.state.value,
                duration=round(now() - run.started, 4),
                error=change.error and change.error.get("message"),
            )
        if self._ready:
            self._start_ready()
        self._hungry = True
        if not (self._wake.is_set() or self._has_plenty()):
            self._wake.set()

    def _lease_lost(self, stale: Iterable[tuple[int, int]]) -> None:
        """Drop the results of attempts that are no longer ours, and have the lease looked at."""
        for job_id, attempt in stale:
            log.warning("lease lost", job_id=job_id, attempt=attempt, worker=self.worker)
        self.on_lease_lost()

    def _give_back(self, reason: str) -> None:
        """Release what was claimed and has not started."""
        while self._ready:
            job = self._ready.popleft()
            self._settled.append(Settled(job.id, job.attempt, settle(job, Released(reason))))

    # -- ending what must end ------------------------------------------------------------

    async def _tick(self) -> None:
        """Look at deadlines and cancel requests, and tell the supervisor the loop turns."""
        looked = 0.0
        looking: asyncio.Task[None] | None = None
        while True:
            at = now()
            self._board.turned(at)
            for run in list(self._running.values()):
                if run.stop is None and at >= run.deadline:
                    self._stop(run, TimedOut(run.job.timeout or 0.0), Mark.TIMED_OUT)
                elif run.stop is not None and self._is_overdue(run):
                    self._condemn(run)
            if self._draining:
                self._wake.set()
            if self._held_up and at - self._held_up_at >= HELD_UP:
                self._hand_in_again()
            if self._ready and not self._free and at - self._started_last > HOARD:
                self._prefetch = 0
                self._give_back("other jobs of this process take longer than they did")
                self._wake.set()
            if looking is not None and looking.done():
                looking = looking.result()
            if self._running and looking is None and at - looked >= CANCEL_LOOK:
                looked = at
                looking = self._loop.create_task(self._look_for_cancels())
            await asyncio.sleep(TICK if self._running or self._ready else 4 * TICK)

    async def _look_for_cancels(self) -> None:
        try:
            asked = await self._loop.run_in_executor(
                self._reading, self._store.cancel_requests, self.worker
            )
        except Unavailable:
            return
        if not asked:
            return
        wanted = {(job_id, attempt) for job_id, attempt, _ in asked}
        for run in list(self._running.values()):
            if run.stop is None and (run.job.id, run.job.attempt) in wanted:
                self._stop(run, Cancelled(), Mark.CANCELLED)
        for job in [job for job in self._ready if (job.id, job.attempt) in wanted]:
            self._ready.remove(job)
            self._settled.append(Settled(job.id, job.attempt, settle(job, Cancelled())))
            self._wake.set()

    def _stop(self, run: Run, outcome: AttemptOutcome, mark: Mark) -> None:
        """Tell an attempt to end; it will be settled as `outcome` once it is over."""
        if run.stop is not None:
            return
        run.stop = outcome
        run.stopped_at = now()
        self._board.mark(run.slot, mark)
        self._executors[run.kind.run].stop(run)

    def _is_overdue(self, run: Run) -> bool:
        """Whether an attempt told to end has not, although its grace is over."""
        if run.stop is None or self._executors[run.kind.run].apart:
            return False
        return now() - run.stopped_at >= self.config.cancel_grace

    def _condemn(self, run: Run) -> None:
        """An attempt will not end: this process must, once its neighbours are through."""
        if self._condemned:
            return
        self._condemned = True
        self._log("job does not end when told to: its process will", run)
        self.drain()
        self.on_condemned()

    # -- small things --------------------------------------------------------------------

    @property
    def burst_done(self) -> bool:
        """Whether, in burst mode, the queues were seen empty with nothing running."""
        return self._burst_done and self.idle

    def _output_waits(self) -> None:
        self._loop.call_soon_threadsafe(lambda: self._loop.call_later(OUTPUT_FLUSH, self._wake.set))

    def _log(self, event: str, run: Run, **more: Any) -> None:
        job = run.job
        log.info(
            event,
            job_id=job.id,
            kind=job.kind,
            queue=job.queue,
            attempt=job.attempt,
            worker=self.worker,
            child=self.child,
            **{key: value for key, value in more.items() if value is not None},
        )


def _alike(claimed: Sequence[Claimed]) -> bool:
    """Whether jobs that were claimed together are of one queue and priority: a flood goes on."""
    first, last = claimed[0], claimed[-1]
    return (first.queue, first.priority) == (last.queue, last.priority)


def _unrecordable(error: Exception) -> Change:
    """Return the end of an attempt whose own end the store cannot hold."""
    failure = Failure("Unrecordable", f"How it ended could not be written down: {error!r}"[:500])
    return Change(Verb.FAIL, State.FAILED, Outcome.ERROR, error=failure.as_row(), failures=1)
