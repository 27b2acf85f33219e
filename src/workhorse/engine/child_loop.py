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
import contextlib
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Final

from workhorse.domain.errors import Unavailable
from workhorse.engine.appetite import BATCH, FLOOD, Appetite
from workhorse.engine.attempts import Attempts
from workhorse.engine.board import NEVER, Board
from workhorse.engine.clock import happens, now
from workhorse.engine.loops import end_tasks, hidden_task
from workhorse.engine.outage import Outage
from workhorse.engine.output import OutputBuffer
from workhorse.engine.refused import by_attempt, write_singly
from workhorse.logs import log
from workhorse.store.protocol import (
    ClaimRequest,
    Settled,
    Turn,
    fills_turn,
    first_due,
    wanted_kinds,
)

if TYPE_CHECKING:
    from workhorse.domain.events import OutputLine
    from workhorse.domain.job import Claimed
    from workhorse.engine.config import WorkerConfig
    from workhorse.engine.executors.base import Run
    from workhorse.spec import KindSpec
    from workhorse.store.protocol import ChildStore


TICK: Final = 0.1
"""How often deadlines are looked at while something runs: the precision of a timeout."""
LATE: Final = 60.0
"""Seconds within which a turn that was not answered may still be carried out."""
OVERLAP: Final = 50
"""In a flood of so many ended jobs a turn, a store that can settle and claim side by side does."""
UNSETTLED: Final = 2 * BATCH
"""Ended jobs that wait for a flush, at which no more are claimed beside it."""
GIVE_WAY: Final = 0.0005
"""Seconds for which the loop of a flood lets go of the interpreter, so that a turn's thread sends
what it was given. By itself it lets go only to look at its sockets, for a moment: a thread that
waits comes too late each time, until the jobs at hand have all run."""
GLANCE: Final = 0.01
"""While others ring, a look that finds nothing is repeated after so many seconds, then ever later:
who has rung a moment ago does not ring again, and counts on this."""
CANCEL_LOOK: Final = 0.5
OUTPUT_FLUSH: Final = 0.1
DRAINING: Final = "the worker is draining"


class ChildLoop:
    """Runs the jobs of one child until it is drained. Lives on the child's loop."""

    def __init__(
        self,
        store: ChildStore,
        kinds: Mapping[str, KindSpec],
        config: WorkerConfig,
        board: Board,
        *,
        worker: int,
        child: int,
        solo: bool,
        withheld: int = 0,
        keep_fds: tuple[int, ...] = (),
    ) -> None:
        """Serve `worker` as its child number `child`; with `solo`, one suspect at a time.

        `withheld` is as in `withhold`.
        """
        self.worker = worker
        self.child = child
        self.solo = solo
        self.config = config
        self.on_condemned: Callable[[], None] = lambda: None
        self.on_lease_lost: Callable[[], None] = lambda: None
        self.on_scheduled: Callable[[float], None] = lambda _delay: None
        """Told in how many seconds the first of the jobs just given back is due."""
        self.on_freed: Callable[[], None] = lambda: None
        """Told that a turn has left jobs to others beside the store."""
        self.least_poll = 0.0
        """Least seconds between two looks: more than none while others ring for new jobs."""
        slots = 1 if solo else config.concurrency
        self._store = store
        self._claimable = wanted_kinds(kinds)
        self._board = board
        self._output = OutputBuffer(self._output_waits)
        self._attempts = Attempts(
            kinds,
            config,
            board,
            self._output,
            worker=worker,
            child=child,
            slots=slots,
            keep_fds=keep_fds,
            on_end=self._look_for_more,
        )
        self._attempts.withheld = withheld
        self._ended = self._attempts.ended
        self._appetite = Appetite(slots, now(), solo=solo, overlaps=store.overlaps)
        self._flush: asyncio.Task[None] | None = None
        """In a flood: a turn that settles, while others claim."""
        self._sweeping: asyncio.Task[None] | None = None
        """When more wait for what has ended than one turn sees to."""
        self._looking: asyncio.Task[None] | None = None
        """For cancel requests."""
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._hungry = True
        self._draining = False
        self._condemned = False
        self._burst_done = False
        self._unanswered_at = 0.0
        self._adopt_at = NEVER
        self._glance = GLANCE
        self._db = ThreadPoolExecutor(1, thread_name_prefix="workhorse-store")
        self._claiming = ThreadPoolExecutor(1, thread_name_prefix="workhorse-claim")
        # Cancel requests are looked for while a turn waits for its turn to write.
        self._reading = ThreadPoolExecutor(1, thread_name_prefix="workhorse-cancel")

    # -- what the child tells its loop, and asks of it -----------------------------------

    def wake(self) -> None:
        """Look now: something may have been enqueued or cancelled."""
        self._hungry = True
        self._wake.set()

    def withhold(self, slots: int) -> None:
        """Leave so many slots free from now on; what runs in them already runs on."""
        self._attempts.withheld = slots
        self._attempts.start()
        self.wake()

    def drain(self) -> None:
        """Claim no more, give back what has not started; `run` returns when nothing runs."""
        self._draining = True
        self._attempts.give_back(DRAINING)
        self._wake.set()

    def abandon(self, reason: str) -> None:
        """End what still runs: it is released, its budget untouched."""
        self.drain()
        self._attempts.release(reason)

    @property
    def idle(self) -> bool:
        """Whether nothing runs and nothing waits to be written down."""
        return not (self._attempts.running or self._attempts.ready) and self._all_written()

    @property
    def running(self) -> int:
        """How many attempts run now."""
        return len(self._attempts.running)

    @property
    def finished(self) -> int:
        """How many attempts have ended since the start."""
        return self._attempts.finished

    @property
    def burst_done(self) -> bool:
        """Whether, in burst mode, the queues were seen empty with nothing running."""
        return self._burst_done and self.idle and self._sweeping is None

    # -- the loop ------------------------------------------------------------------------

    async def run(self) -> None:
        """Claim, run and settle until drained and idle (or condemned with nothing else left).

        What it raises is a fault of ours, or of the store's: its tasks are left as they are then.
        """
        self._board.turned(now())  # its first job may hold the interpreter before the first tick
        ticker = hidden_task(self._tick())
        ticker.add_done_callback(lambda _: self._wake.set())
        outage = Outage()
        while not self._is_through():
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
        await end_tasks(ticker, self._sweeping, self._looking)
        await self._attempts.close()
        self._db.shutdown(wait=False)
        self._claiming.shutdown(wait=False)
        self._reading.shutdown(wait=False)

    def _is_through(self) -> bool:
        return self._draining and self._attempts.only_stuck_left() and self._all_written()

    def _all_written(self) -> bool:
        return not (self._ended or self._output or self._flush)

    def _can_write(self) -> bool:
        if self._flush is not None:
            return self._flush.done()
        return bool(self._ended.waiting or self._output)

    def _request(self) -> ClaimRequest | None:
        """Return what to claim now, if anything."""
        if self._draining or not self._hungry:
            return None
        if self._has_plenty() or (self._store.overlaps and len(self._ended.waiting) >= UNSETTLED):
            return None
        limit = self._appetite.limit(self._attempts.room)
        if limit == 0:
            return None
        return ClaimRequest(self.child, self.config.queues, self._claimable, limit, self.solo)

    def _has_plenty(self) -> bool:
        return self._flush is not None and self._appetite.has_plenty(len(self._attempts.ready))

    def _look_for_more(self) -> None:
        """An attempt has ended: there is something to write down, and room."""
        self._hungry = True
        if not (self._wake.is_set() or self._has_plenty()):
            self._wake.set()

    async def _turn(self, request: ClaimRequest | None) -> None:
        """Write down what has ended, and claim; in a flood side by side, neither for the other."""
        if self._flush is not None and self._flush.done():
            flush, self._flush = self._flush, None
            flush.result()
        if self._flush is not None:
            await self._exchange([], [], request)
            return
        settled, output = self._ended.take(), self._output.take()
        if len(settled) >= OVERLAP and self._store.overlaps:
            self._flush = hidden_task(self._settle_flood(settled, output))
            self._flush.add_done_callback(lambda _: self._wake.set())
            settled, output = [], []
        if settled or output or request is not None:
            await self._exchange(settled, output, request)

    async def _settle_flood(self, settled: list[Settled], output: list[OutputLine]) -> None:
        """Write down what has ended, and what ends meanwhile, until it is no flood any more."""
        await self._exchange(settled, output, None)
        while len(self._ended.waiting) >= FLOOD:
            await self._exchange(self._ended.take(), self._output.take(), None)

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
            self._ended.put_back(settled)
            self._hungry = True
            self._output.put_back(output)
            raise
        except Exception as error:
            if not settled and not output:
                raise
            log.error("the store refuses what is to be written", error=repr(error))
            self._hungry = True
            if request is not None:  # it may have been carried out all the same
                self._unanswered_at = self._adopt_at = now()
            await self._write_singly(settled, output)
            return
        self._appetite.judge(now(), self._attempts.finished)
        self._heed(turn, settled)
        if request is not None:
            self._hungry |= len(turn.claimed) == request.limit or fills_turn(turn.claimed)
            self._burst_done = self.config.burst and not turn.claimed
        if turn.claimed:
            self._appetite.learn(turn.claimed)
            self._take(turn.claimed)

    def _take(self, claimed: Iterable[Claimed]) -> None:
        """Start what was claimed, as soon as there is room: unless there is to be no more."""
        self._attempts.take(claimed)
        if self._draining:
            self._attempts.give_back(DRAINING)
        self._attempts.start()

    async def _write(
        self,
        settled: list[Settled],
        output: Sequence[OutputLine] = (),
        request: ClaimRequest | None = None,
    ) -> Turn:
        take_turn = partial(self._store.turn, self.worker, settled, output, request)
        if not self._attempts.running and self._flush is None:
            # The loop has nothing else to do: the way to a thread is saved.
            return take_turn()
        beside = self._flush is not None and request is not None
        turn = self._loop.run_in_executor(self._claiming if beside else self._db, take_turn)
        if self._appetite.ahead and self._store.overlaps:
            time.sleep(GIVE_WAY)  # noqa: ASYNC251 - for the thread
        return await turn

    async def _write_singly(self, settled: list[Settled], output: list[OutputLine]) -> None:
        """Write down attempt by attempt what was refused together."""
        said = by_attempt(output)
        try:
            await write_singly(settled, said, self._write, self._heed)
        except Unavailable:
            self._ended.put_back(settled)
            self._output.put_back([line for lines in said for line in lines])
            raise

    def _heed(self, turn: Turn, settled: Sequence[Settled]) -> None:
        """Do what follows from `settled`: what is due again, or free, or was not written down.

        The results of attempts that are no longer ours are dropped, and the lease is looked at.
        """
        if (due := first_due(settled)) is not None:
            self.on_scheduled(due)
        if turn.freed:
            self.on_freed()
        if turn.unswept and self._sweeping is None:
            self._sweeping = hidden_task(self._sweep())
        for job_id, attempt in turn.stale:
            log.warning("lease lost", job_id=job_id, attempt=attempt, worker=self.worker)
        if turn.stale:
            self.on_lease_lost()
        self._ended.heed(turn, settled, self.worker)

    async def _sweep(self) -> None:
        """See to all who wait for what has ended, a portion at a time, while turns go on.

        Where that fails a supervisor's sweep sees to the rest.
        """
        try:
            with contextlib.suppress(Unavailable):
                while await self._loop.run_in_executor(self._reading, self._store.sweep):
                    self._burst_done = False
                    self.wake()
                    self.on_freed()
        finally:
            self._sweeping = None

    async def _adopt(self) -> None:
        """Take on what a turn has claimed whose answer was lost on the way.

        The store may carry it out when nobody waits for it any more (a statement that waits for
        a lock, a network that held it back), so this is done again, less and less often.
        """
        if self._flush is not None:
            await asyncio.wait({self._flush})
        late = now() - self._unanswered_at
        held = await self._loop.run_in_executor(self._db, self._store.held, self.worker, self.child)
        known = self._attempts.known()
        self._adopt_at = now() + max(1.0, late) if late < LATE else NEVER
        self._take(job for job in held if (job.id, job.attempt) not in known)

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

    def _output_waits(self) -> None:
        self._loop.call_soon_threadsafe(lambda: self._loop.call_later(OUTPUT_FLUSH, self._wake.set))

    # -- what happens by time ------------------------------------------------------------

    async def _tick(self) -> None:
        """Look at deadlines and cancel requests, and tell the supervisor the loop turns."""
        looked = 0.0
        attempts = self._attempts
        while True:
            at = now()
            self._board.turned(at)
            self._output.catch_up()
            if (stuck := attempts.end_late(at)) is not None:
                self._condemn(stuck)
            if attempts.give_back_hoard(at):
                self._appetite.ahead = 0
                self._wake.set()
            if self._ended.hand_in_again(at) or self._draining:
                self._wake.set()
            if self._looking is not None and self._looking.done():
                self._looking = self._looking.result()
            if attempts.running and self._looking is None and at - looked >= CANCEL_LOOK:
                looked = at
                self._looking = hidden_task(self._look_for_cancels())
            await asyncio.sleep(TICK if attempts.running or attempts.ready else 4 * TICK)

    async def _look_for_cancels(self) -> None:
        try:
            asked = await self._loop.run_in_executor(
                self._reading, self._store.cancel_requests, self.worker
            )
        except Unavailable:
            return
        if asked:
            self._attempts.cancel({(one.id, one.attempt): one.reason for one in asked})
            self._wake.set()

    def _condemn(self, run: Run) -> None:
        """An attempt will not end: this process must, once its neighbours are through."""
        if self._condemned:
            return
        self._condemned = True
        self._attempts.tell("job does not end when told to: its process will", run)
        self.drain()
        self.on_condemned()
