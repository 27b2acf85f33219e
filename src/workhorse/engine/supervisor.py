"""The process that keeps a worker alive and honest. It runs no user code.

It starts children, holds the worker's lease, restarts what dies, ends what hangs, settles the
jobs of the dead, and drains on a signal. A worker that was found lost (a frozen machine, a
store out of reach for too long) ends its children and begins again under a new id.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import uuid
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from workhorse.domain.errors import StoreGone, Unavailable
from workhorse.engine import maintenance
from workhorse.engine.board import NEVER
from workhorse.engine.children import Children
from workhorse.engine.clock import happens, now
from workhorse.engine.config import WorkerConfig
from workhorse.engine.lease import Lease
from workhorse.engine.maintenance import LISTENING, POLLING, Found, every
from workhorse.engine.offloop import OffLoop, until_available
from workhorse.engine.outage import Outage
from workhorse.engine.process import ChildProcess
from workhorse.engine.proctree import adopt_orphans
from workhorse.engine.service import Service
from workhorse.engine.stopping import Stopping
from workhorse.engine.streams import tell_of_dropped
from workhorse.engine.wake import Wake, sweep_sockets
from workhorse.logs import log
from workhorse.store.opening import open_store
from workhorse.store.protocol import NewWorker

if TYPE_CHECKING:
    from workhorse.store.protocol import Bell, Store


PULSE: Final = 0.1
"""How often children are looked at, in seconds."""
UNSTICK_EVERY: Final = 0.5
HUNG: Final = 30.0
"""A child that runs nothing has hung when its loop has not turned for so long: what it asks of the
store, and waits for itself when nothing else is to be done, takes 20 s at most."""
RESCUE_EVERY: Final = 1.0
LOOKED_OVER: Final = 10_000
"""How many of the oldest jobs are looked over for kinds that nobody runs, in each sweep."""
LOOKS_APART: Final = 0.25
"""Rung again and again, the supervisor looks for due jobs so many seconds apart."""


def run_worker(config: WorkerConfig, *, check_url: Callable[[str], None]) -> int:
    """Run a worker until it is told to stop; return its exit code.

    0 after a clean stop. `check_url` is told where the app keeps its jobs before anything is
    opened there, and raises what forbids it. Raises `ConfigurationError` when the app cannot be
    imported three times in a row, `Unavailable` when the store cannot be reached at the
    start, or at the end: what is unfinished is then left to be rescued. A burst raises it also
    when its lease runs out meanwhile: whoever has started it starts another. SIGTERM, SIGINT and
    SIGHUP drain within `config.shutdown_timeout`; asked again, one waits no longer; SIGQUIT ends
    at once. What is unfinished then is released, its budget untouched.
    """
    adopt_orphans()
    return asyncio.run(Supervisor(config, check_url).run())


class Supervisor:
    """One worker's life: children, lease and passes, on one loop."""

    def __init__(self, config: WorkerConfig, check_url: Callable[[str], None]) -> None:
        """Prepare; nothing starts before `run`."""
        self._config = config
        self._check_url = check_url
        self._host = socket.gethostname()
        self._tree = uuid.uuid4().hex
        self._stopping = Stopping(config.shutdown_timeout, config.cancel_grace)
        self._lease_in_doubt = asyncio.Event()
        self._unswept = asyncio.Event()
        self._children = Children(
            config,
            self._tree,
            self._stopping,
            on_lease_lost=self._lease_in_doubt.set,
            on_failure=self._fail,
            on_scheduled=self._scheduled,
            on_unswept=self._unswept.set,
        )
        self._store: Store
        self._lease: Lease
        self._wake: Wake
        self._kinds: list[str] = []
        self._failure: BaseException | None = None
        self._next_due = 0.0
        self._look_for_due = asyncio.Event()
        self._bell: Bell | None = None
        self._pace = POLLING
        self._clock_watch = maintenance.ClockWatch(config.lease / 3)
        self._calls: OffLoop
        self._lease_calls: OffLoop

    # -- the story -----------------------------------------------------------------------

    async def run(self) -> int:
        """Start, keep, drain; see `run_worker`."""
        self._listen_to_signals()
        self._calls = OffLoop("store")
        self._lease_calls = OffLoop("lease")  # a lease never waits behind a slow pass
        first = await self._children.first()
        if first is None:
            return 0
        await self._open(first)
        while await self._serve() and not self._stopping.is_asked:
            log.warning("the lease was lost: beginning again", worker=self._lease.worker)
        log.info("worker stopped", worker=self._lease.worker)
        if self._bell is not None:
            await self._calls.call(self._bell.close)
        await self._calls.call(self._store.close)
        if self._failure is not None:
            raise self._failure
        return 0

    async def _open(self, first: ChildProcess) -> None:
        """Open the store that the app names, and look around beside it."""
        assert first.hello is not None
        self._kinds = first.hello["kinds"]
        if first.hello["inline"]:
            log.warning(
                "THE APP IS IN INLINE MODE: jobs run where they are enqueued, "
                "and this worker will find little to do"
            )
        try:
            self._check_url(first.hello["url"])
            self._store = await self._calls.call(open_store, first.hello["url"])
        except BaseException:
            first.kill("the store is not opened")
            await first.gone()
            raise
        self._wake = Wake(self._run_dir)
        if self._run_dir is not None:
            sweep_sockets(self._run_dir)
        await self._listen()

    async def _listen(self) -> None:
        """Have the rings of other hosts heard; where that fails, polling does."""
        loop = asyncio.get_running_loop()

        def heard(queue: str) -> None:
            loop.call_soon_threadsafe(self._rung, queue)

        try:
            self._bell = await self._calls.call(
                self._store.listen, heard, url=self._config.listen_url
            )
        except Unavailable as error:
            log.warning("not listening: this worker polls", reason=str(error))

    async def _serve(self) -> bool:
        """Work under one lease, until told to stop; True when the lease was lost instead."""
        self._lease = Lease(self._store, self._lease_calls.call, self._config.lease, self._tree)
        service = Service(self._lease, self._store, self._calls, self._wake, self._grace_is_over)
        lost = known = False
        try:
            await self._begin()
            self._children.serve(service)
            lost = known = await self._keep()
        finally:
            await self._children.kill("the worker's lease was lost" if lost else "its worker stops")
            try:
                if self._lease.worker and not lost:
                    await service.must(self._store.retire, self._lease.worker)
                    known = True
            finally:
                self._lease.end(known=known)
        return lost

    async def _begin(self) -> None:
        config = self._config
        worker = NewWorker(
            host=self._host,
            pid=os.getpid(),
            queues=config.queues,
            kinds=self._kinds,
            processes=config.processes,
            concurrency=config.concurrency,
            lease=config.lease,
        )
        await until_available(
            partial(self._lease.begin, worker, self._run_dir),
            lambda: self._stopping.is_asked,
            once=config.burst,
        )
        log.info(
            "worker started",
            worker=self._lease.worker,
            pid=os.getpid(),
            queues=",".join(config.queues),
            processes=config.processes,
            concurrency=config.concurrency,
            kinds=len(self._kinds),
            store=self._store.url,
        )

    async def _keep(self) -> bool:
        """Keep children and passes going until told to stop; True when the lease was lost."""
        passes = [
            asyncio.create_task(every(seconds, one_pass))
            for seconds, one_pass in (
                (PULSE, self._pulse),
                (UNSTICK_EVERY, self._unstick),
                (RESCUE_EVERY, self._rescue_gone),
                (lambda: self._pace.look, self._look),
                (lambda: self._pace.prune, self._prune),
            )
        ]
        sweeping = every(lambda: self._pace.sweep, self._sweep, sooner=self._unswept)
        passes += map(asyncio.create_task, (sweeping, self._promote_when_due()))
        renewing = asyncio.create_task(self._renew())
        stopping = asyncio.create_task(self._stopping.wait())
        watched: set[asyncio.Task[Any]] = {renewing, stopping, *passes}
        try:
            await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
            for one in passes:
                if one.done() and (error := one.exception()) is not None:
                    self._fail(error)
            if not renewing.done():
                await self._drain(renewing)
            return renewing.done() and renewing.result()
        finally:
            for task in watched:
                task.cancel()
            await asyncio.gather(*watched, return_exceptions=True)

    # -- the lease and the passes --------------------------------------------------------

    async def _renew(self) -> bool:
        """Renew until the worker is found lost; then return True. At once when in doubt."""
        seconds = min(self._config.renew, self._config.lease / 3)
        while True:
            await happens(self._lease_in_doubt, seconds * random.uniform(0.9, 1.0))
            self._lease_in_doubt.clear()
            try:
                if not await self._lease.renew(self._children.restarts):
                    return True
            except Unavailable as error:
                log.error("the lease could not be renewed", error=str(error))
                if self._config.burst and not self._lease.is_alive:
                    self._fail(error)
                await asyncio.sleep(min(0.5, seconds))

    async def _pulse(self) -> None:
        self._lease.keep_warden()
        tell_of_dropped()
        self._keep_pace()
        self._children.look_after(now())
        if self._config.burst and self._children.all_empty():
            self._stopping.begin(now())

    async def _unstick(self) -> None:
        """End children that cannot end a job by themselves, and those that have none and hang."""
        self._children.end_hung(looks=round(HUNG / UNSTICK_EVERY))
        self._children.end_stuck(now())
        if self._children.stuck(now()):
            asked = await self._calls.call(self._store.cancel_requests, self._lease.worker)
            self._children.end_stuck(now(), asked)

    async def _promote_when_due(self) -> None:
        """Promote when a job is due, when something was rung, and now and then.

        Where that fails what is due stays so: it waits as long as any other for the store.
        """
        outage = Outage()
        while True:
            try:
                await self._promote()
                outage.is_over()
            except Unavailable as error:
                await outage.wait(error)
                continue
            until_due = self._next_due - now()
            if await happens(self._look_for_due, max(0.01, min(self._pace.promote, until_due))):
                self._look_for_due.clear()
                await asyncio.sleep(min(LOOKS_APART, max(0.0, self._next_due - now())))

    async def _promote(self) -> None:
        promoted = await self._calls.call(self._store.promote)
        self._next_due = NEVER if promoted.due_in is None else now() + promoted.due_in / 1000
        if promoted.jobs:
            self._wake.ring()

    def _scheduled(self, delay: float) -> None:
        """A job is due in `delay` seconds, perhaps before those known so far."""
        due = now() + delay
        if due < self._next_due:
            self._next_due = due
            self._look_for_due.set()

    def _rung(self, queue: str) -> None:
        """Another process has enqueued something, or (with no queue) might have."""
        if not queue or queue in self._config.queues:
            self._children.wake()
        self._look_for_due.set()

    def _keep_pace(self) -> None:
        """Look seldom while the bell is heard, and have the children do so too."""
        hears = self._bell is not None and self._bell.hears and not self._config.burst
        pace = LISTENING if hears else POLLING
        if pace is not self._pace:
            self._pace = pace
            self._children.pace(pace.poll)

    async def _rescue_gone(self) -> None:
        me, run_dir = self._lease.worker, self._run_dir
        self._report_rescued(
            await self._calls.call(maintenance.rescue_gone, self._store, me=me, run_dir=run_dir)
        )

    async def _look(self) -> None:
        asked = now()
        look = await self._calls.call(self._store.look, self._lease.worker)
        self._clock_watch.note(look.at / 1000, asked=asked)
        self._children.solo_waiting = look.solo > 0
        await self._children.settle_strays(look.holding)
        if look.expired and self._may_judge_leases():
            me, rescue = self._lease.worker, maintenance.rescue_expired
            self._report_rescued(await self._calls.call(rescue, self._store, look.expired, me=me))

    def _report_rescued(self, found: list[Found]) -> None:
        for worker, jobs, reason in found:
            log.warning("rescued", lost_worker=worker, jobs=jobs, reason=reason)
        if found:
            self._wake.ring()
            self._look_for_due.set()
            self._unswept.set()

    def _may_judge_leases(self) -> bool:
        """Whether an expired lease may be believed: not by one who was just cut off itself.

        What kept it from renewing (a jump of the clock, a store that nobody could write to) may
        have kept the others too: they get the time of one lease to renew.
        """
        lapsed_lately = self._lease.lapsed_since(now() - self._config.lease)
        return self._clock_watch.trusts_expiry() and not lapsed_lately

    async def _sweep(self) -> None:
        while await self._calls.call(self._store.sweep):
            self._wake.ring()
        waiting = await self._calls.call(self._store.waiting, oldest=LOOKED_OVER)
        unknown: Counter[str] = Counter()
        for (_, kind), number in waiting.items():
            if kind not in self._kinds:
                unknown[kind] += number
        if unknown:
            log.warning("jobs wait whose kind this app does not have", kinds=dict(unknown))

    async def _prune(self) -> None:
        prune, retention = self._store.prune, self._config.retention
        while await self._calls.call(self._store.measure, retention):
            pass  # it may take a while: each portion takes its turn among the other passes
        await maintenance.prune_all(lambda size: self._calls.call(prune, retention, batch=size))
        await self._calls.call(self._store.tidy)

    # -- the end -------------------------------------------------------------------------

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            loop.add_signal_handler(number, self._told_to_stop, number)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # else nohup's doing
            loop.add_signal_handler(signal.SIGHUP, self._told_to_stop, signal.SIGHUP)

    def _told_to_stop(self, number: int) -> None:
        """SIGTERM and SIGINT ask, the second time more firmly; SIGQUIT does not wait.

        SIGHUP comes from a terminal and from its shell as well: twice is once.
        """
        match number:
            case signal.SIGQUIT:
                self._stopping.at_once(now())
            case signal.SIGHUP:
                self._stopping.begin(now())
            case _:
                self._stopping.ask(now())
        log.info("told to stop", signal=signal.Signals(number).name)

    def _fail(self, error: BaseException) -> None:
        """Stop because of what cannot be gone on from; `run` raises it in the end."""
        self._failure = self._failure or error
        gone = isinstance(error, StoreGone)  # nothing that still runs could be written down
        (self._stopping.at_once if gone else self._stopping.begin)(now())

    def _grace_is_over(self) -> bool:
        return self._stopping.is_over(now())

    async def _drain(self, renewing: asyncio.Task[bool]) -> None:
        """Say that this worker drains, and drain; neither waits for the other."""
        saying = asyncio.create_task(self._say_draining())
        await self._children.drain(renewing)
        saying.cancel()

    async def _say_draining(self) -> None:
        try:
            await self._calls.call(self._store.draining, self._lease.worker)
        except Unavailable as error:
            log.error("could not say that this worker drains", error=str(error))

    @property
    def _run_dir(self) -> Path | None:
        return self._store.run_dir
