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
import time
import uuid
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import structlog

from workhorse.domain.errors import ConfigurationError, Unavailable
from workhorse.domain.events import Life
from workhorse.domain.transitions import settle
from workhorse.engine import maintenance
from workhorse.engine.autopsy import Death, autopsy
from workhorse.engine.clock import now
from workhorse.engine.config import WorkerConfig
from workhorse.engine.lease import Lease
from workhorse.engine.maintenance import LISTENING, POLLING, Found, every
from workhorse.engine.process import ChildProcess, reap_strangers
from workhorse.engine.proctree import adopt_orphans
from workhorse.engine.wake import Wake, sweep_sockets
from workhorse.store.opening import open_store
from workhorse.store.protocol import NewWorker, Settled

if TYPE_CHECKING:
    from workhorse.store.protocol import Bell, Store

log = structlog.get_logger("workhorse.supervisor")

PULSE: Final = 0.1
"""How often children are looked at, in seconds."""
STUCK: Final = 2.0
"""A child whose loop has not turned for so long, with a job over its time, is ended."""
SAME_IMPORT_ERROR: Final = 3
RESCUE_EVERY: Final = 1.0
RUNG_AT_MOST: Final = 0.25
"""Being rung makes the supervisor look for due jobs this often at most, in seconds."""
MAX_RESTART_DELAY: Final = 30.0
FOREVER: Final = float("inf")


def run_worker(config: WorkerConfig) -> int:
    """Run a worker until it is told to stop; return its exit code.

    0 after a clean stop. Raises `ConfigurationError` when the app cannot be imported three
    times in the same way, `Unavailable` when the store cannot be reached at the start.
    SIGTERM and SIGINT drain within `config.shutdown_timeout`; a second one cuts the wait short,
    SIGQUIT ends at once. What is unfinished then is released, its budget untouched.
    """
    adopt_orphans()
    return asyncio.run(Supervisor(config).run())


class Supervisor:
    """One worker's life: children, lease and passes, on one loop."""

    def __init__(self, config: WorkerConfig) -> None:
        """Prepare; nothing starts before `run`."""
        self._config = config
        self._host = socket.gethostname()
        self._tree = uuid.uuid4().hex
        self._store: Store
        self._wake = Wake(None)
        self._lease: Lease | None = None
        self._kinds: list[str] = []
        self._children: dict[int, ChildProcess] = {}
        self._keepers: set[asyncio.Task[None]] = set()
        self._number = 0
        self._deaths: deque[float] = deque(maxlen=1000)
        self._young_deaths = 0
        self._start_after = 0.0
        self._import_errors: list[str] = []
        self._solo_waiting = False
        self._stop_at: float | None = None
        self._abandon_from = FOREVER
        self._stopping = asyncio.Event()
        self._fatal: Exception | None = None
        self._next_due: float = 0.0
        self._look_for_due = asyncio.Event()
        self._bell: Bell | None = None
        self._pace = POLLING
        self._lease_thread = ThreadPoolExecutor(1, thread_name_prefix="workhorse-lease")
        self._store_thread = ThreadPoolExecutor(1, thread_name_prefix="workhorse-store")

    # -- the story -----------------------------------------------------------------------

    async def run(self) -> int:
        """Start, keep, drain; see `run_worker`."""
        self._listen_to_signals()
        first = await self._first_child()
        if first is None:
            return 0
        await self._open(first)
        while True:
            await self._begin_lease()
            if first is not None:
                self._put_to_work(first)
                first = None
            lost = await self._keep()
            await self._end_children(lost=lost)
            assert self._lease is not None
            worker = self._lease.worker
            if not lost:
                await self._patiently(self._store.retire, worker)
            self._lease.end()
            if not lost:
                break
            log.warning("the lease was lost: beginning again", worker=worker)
        log.info("worker stopped", worker=worker)
        if self._bell is not None:
            await asyncio.to_thread(self._bell.close)
        await asyncio.to_thread(self._store.close)
        if self._fatal is not None:
            raise self._fatal
        return 0

    async def _first_child(self) -> ChildProcess | None:
        """Start one child and hear from it what the app is; None when told to stop meanwhile."""
        while not self._stopping.is_set():
            child = self._spawn(solo=False)
            hello = await child.open()
            if hello is not None and hello["say"] == "hello":
                self._kinds = hello["kinds"]
                self._url = hello["url"]
                if hello["inline"]:
                    log.warning(
                        "THE APP IS IN INLINE MODE: jobs run where they are enqueued, "
                        "and this worker will find little to do"
                    )
                return child
            death = await child.end()
            self._children.clear()
            self._note_start_failure(hello, death)
            if self._fatal is not None:
                raise self._fatal
            await self._nap(min(0.2, self._config.restart_delay))
        return None

    def _note_start_failure(self, hello: dict[str, Any] | None, death: Death) -> None:
        """Count identical failures to start; the third is fatal."""
        if hello is None:
            how = death.exit_signal or f"exit code {death.exit_code}"
            cause, hint = f"A child ended before it had imported the app ({how}).", None
        else:
            cause, hint = hello["message"], hello.get("hint")
        if self._import_errors and self._import_errors[-1] != cause:
            self._import_errors.clear()
        self._import_errors.append(cause)
        count = len(self._import_errors)
        log.warning("the app cannot be imported", times=count, of=SAME_IMPORT_ERROR)
        if count >= SAME_IMPORT_ERROR:
            self._fatal = ConfigurationError(cause, hint=hint)
            self._stopping.set()

    async def _open(self, first: ChildProcess) -> None:
        try:
            self._store = await asyncio.to_thread(open_store, self._url)
        except BaseException:
            first.kill("the store cannot be opened")
            await first.end()
            raise
        run_dir = self._store.run_dir
        self._wake = Wake(run_dir)
        if run_dir is not None:
            sweep_sockets(run_dir)
        loop = asyncio.get_running_loop()

        def heard(queue: str) -> None:
            loop.call_soon_threadsafe(self._rung, queue)

        listen = partial(self._store.listen, heard, url=self._config.listen_url)
        self._bell = await self._patiently(listen)

    async def _begin_lease(self) -> None:
        config = self._config
        self._lease = Lease(self._store, self._call_lease, config.lease, self._tree)
        worker = NewWorker(
            host=self._host,
            pid=os.getpid(),
            queues=config.queues,
            kinds=self._kinds,
            processes=config.processes,
            concurrency=config.concurrency,
            lease=config.lease,
        )
        await self._patiently(self._lease.begin, worker, self._store.run_dir)
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
        config = self._config
        tasks: list[asyncio.Task[None]] = [
            asyncio.create_task(every(seconds, one_pass))
            for seconds, one_pass in (
                (PULSE, self._pulse),
                (RESCUE_EVERY, self._rescue_gone),
                (lambda: self._pace.look, self._look),
                (lambda: self._pace.sweep, self._sweep),
                (lambda: self._pace.prune, self._prune),
            )
        ]
        tasks.append(asyncio.create_task(self._promote_when_due()))
        renewing = asyncio.create_task(self._renew(min(config.renew, config.lease / 3)))
        stopping = asyncio.create_task(self._stopping.wait())
        watched: set[asyncio.Task[Any]] = {renewing, stopping, *tasks}
        try:
            await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
            if renewing.done():
                return renewing.result()
            await self._drain(renewing)
            return renewing.done() and not renewing.cancelled() and renewing.result()
        finally:
            for task in watched:
                task.cancel()
            await asyncio.gather(*watched, return_exceptions=True)

    # -- children ------------------------------------------------------------------------

    def _spawn(self, *, solo: bool) -> ChildProcess:
        self._number += 1
        child = ChildProcess(self._number, self._config, self._tree, solo=solo)
        self._children[child.number] = child
        return child

    def _put_to_work(self, child: ChildProcess) -> None:
        """Start a child that has said hello, and follow it to its end."""
        assert self._lease is not None
        child.start(self._lease.worker, self._lease.lock_fd)
        child.tell({"say": "pace", "poll": self._pace.poll})
        self._follow(child, hello_heard=True)

    def _follow(self, child: ChildProcess, *, hello_heard: bool) -> None:
        task = asyncio.create_task(self._keep_child(child, hello_heard=hello_heard))
        self._keepers.add(task)
        task.add_done_callback(self._keepers.discard)

    async def _keep_child(self, child: ChildProcess, *, hello_heard: bool) -> None:
        """Follow one child to its end, and settle what it leaves."""
        lease = self._lease
        assert lease is not None
        hello = None
        if not hello_heard:
            hello = await child.open()
            if hello is not None and hello["say"] == "hello" and child.retiring is None:
                self._import_errors.clear()
                child.start(lease.worker, lease.lock_fd)
                child.tell({"say": "pace", "poll": self._pace.poll})
        while (message := await child.receive()) is not None:
            self._hear(child, message)
        death = await child.end()
        if not lease.is_alive and death.planned is None:
            death = death._replace(planned="the worker's lease could not be renewed in time")
        if child.serving:
            await self._settle_dead(child, death, lease.worker)
            self._count_death(child, death, lease.worker)
        elif child.retiring is None:
            self._note_start_failure(hello, death)
            self._delay_start(child)
        child.board.close()
        self._children.pop(child.number, None)

    def _hear(self, child: ChildProcess, message: dict[str, Any]) -> None:
        match message["say"]:
            case "report":
                child.finished = message["finished"]
                child.idle = message["idle"]
                child.empty = message["empty"]
            case "scheduled":
                self._due_by(time.time() + message["delay"])
            case "condemned":
                at = now()
                grace = self._config.shutdown_timeout
                child.retiring = "its process is ended because another job in it did not end"
                child.abandon_at = at + grace
                child.kill_at = at + grace + self._config.cancel_grace + 1

    async def _settle_dead(self, child: ChildProcess, death: Death, worker: int) -> None:
        """Write down how the attempts of a dead child ended."""
        at, slots = now(), child.board.running()
        held = await self._patiently(self._store.held, worker, child.number)
        ended = autopsy(held, slots, death, at)
        settled = [
            Settled(job.id, job.attempt, settle(job, outcome, chance=random.random()))
            for job, outcome in ended
        ]
        if settled:
            turn = await self._patiently(self._store.turn, worker, settled, [], None)
            for job_id, attempt in turn.stale:
                log.warning("lease lost", job_id=job_id, attempt=attempt, worker=worker)
            for job, outcome in ended:
                log.warning(
                    "job ended with its process",
                    job_id=job.id,
                    kind=job.kind,
                    queue=job.queue,
                    attempt=job.attempt,
                    worker=worker,
                    child=child.number,
                    outcome=type(outcome).__name__.lower(),
                )
            self._solo_waiting |= any(one.change.solo for one in settled)
            self._wake.ring()

    def _count_death(self, child: ChildProcess, death: Death, worker: int) -> None:
        event = log.info if death.planned else log.warning
        event(
            "child ended",
            worker=worker,
            child=child.number,
            pid=child.pid,
            reason=death.planned,
            exit_code=death.exit_code,
            exit_signal=death.exit_signal,
        )
        if death.planned is not None:
            return
        self._deaths.append(now())
        data = {"child": child.number, **death._asdict()}
        note = partial(self._store.note, Life.CHILD_DIED.value, worker=worker, data=data)
        asyncio.get_running_loop().run_in_executor(self._store_thread, _quietly, note)
        if not child.solo:
            self._delay_start(child)

    def _delay_start(self, child: ChildProcess) -> None:
        """Back off while children die young."""
        delay = self._config.restart_delay
        if now() - child.started > max(5.0, delay):
            self._young_deaths = 0
            return
        wait = min(MAX_RESTART_DELAY, delay * 2**self._young_deaths)
        self._young_deaths = min(self._young_deaths + 1, 10)
        self._start_after = now() + wait

    @property
    def _restarts(self) -> int:
        """Deaths nobody wanted, within the minutes that make a crash loop."""
        since = now() - self._config.crash_loop_minutes * 60
        return sum(1 for at in self._deaths if at >= since)

    async def _pulse(self) -> None:
        """Look at every child once: end what hangs, recycle what is old, start what lacks."""
        at = now()
        assert self._lease is not None
        known = {child.pid for child in self._children.values()} | {self._lease.warden_pid}
        reap_strangers(known)
        self._lease.keep_warden()
        self._keep_pace()
        for child in list(self._children.values()):
            child.press(at)
            if child.serving:
                self._end_if_stuck(child, at)
                if child.retiring is None:
                    self._recycle_if_due(child, at)
        if self._stop_at is None and self._lease.is_alive:
            self._start_missing(at)
            self._stop_when_empty()

    def _end_if_stuck(self, child: ChildProcess, at: float) -> None:
        """Kill a child that cannot end a job by itself: its interpreter is held by one."""
        if child.board.turned_at == 0.0 or at - child.board.turned_at < STUCK:
            return
        grace = self._config.cancel_grace
        for slot in child.board.running():
            if at > slot.deadline + grace:
                child.kill(f"its process was stuck in job {slot.job_id}, which was over its time")
                return

    def _recycle_if_due(self, child: ChildProcess, at: float) -> None:
        """Have a child that has served long enough finish what it runs and be replaced."""
        config = self._config
        if child.solo:
            if child.idle and not self._solo_waiting and at - child.started > 5 * RESCUE_EVERY:
                child.retire("no job needs to run alone", abandon_at=FOREVER, kill_at=FOREVER)
            return
        reason = None
        if config.max_time is not None and at - child.started >= config.max_time:
            reason = f"it has served {config.max_time:g} s"
        elif config.max_jobs is not None and child.finished >= config.max_jobs:
            reason = f"it has run {child.finished} jobs"
        elif config.max_memory_mib is not None and child.resident_mib > config.max_memory_mib:
            reason = f"it holds {child.resident_mib:.0f} MiB"
        if reason:
            child.retire(reason, abandon_at=FOREVER, kill_at=FOREVER)

    def _start_missing(self, at: float) -> None:
        assert self._lease is not None
        current = [c for c in self._children.values() if c.retiring is None]
        regular = sum(1 for c in current if not c.solo)
        if at >= self._start_after and regular < self._config.processes:
            for _ in range(self._config.processes - regular):
                self._follow(self._spawn(solo=False), hello_heard=False)
        if self._solo_waiting and not any(c.solo for c in current):
            self._follow(self._spawn(solo=True), hello_heard=False)

    def _stop_when_empty(self) -> None:
        """In burst mode, stop once every child found nothing to do."""
        if not self._config.burst or self._solo_waiting or not self._children:
            return
        if all(child.serving and child.empty for child in self._children.values()):
            self._stopping.set()

    # -- the lease and the passes --------------------------------------------------------

    async def _renew(self, seconds: float) -> bool:
        """Renew until the worker is found lost; then return True."""
        assert self._lease is not None
        while True:
            await asyncio.sleep(seconds * random.uniform(0.9, 1.0))
            try:
                if not await self._lease.renew(self._restarts):
                    return True
            except Unavailable as error:
                log.error("the lease could not be renewed", error=str(error))
                await asyncio.sleep(min(0.5, seconds))

    async def _promote_when_due(self) -> None:
        """Promote when a job is due, when something was rung, and now and then."""
        while True:
            try:
                await self._promote()
            except Unavailable as error:
                log.debug("a pass was put off", error=str(error))
            wait = min(self._pace.promote, self._next_due - time.time())
            try:
                async with asyncio.timeout(max(0.01, wait)):
                    await self._look_for_due.wait()
            except TimeoutError:
                continue
            self._look_for_due.clear()
            await asyncio.sleep(min(RUNG_AT_MOST, max(0.0, self._next_due - time.time())))

    async def _promote(self) -> None:
        promoted = await self._call(self._store.promote)
        self._next_due = FOREVER if promoted.next_due is None else promoted.next_due / 1000
        if promoted.jobs:
            self._wake.ring()

    def _due_by(self, at: float) -> None:
        """A job is due at an instant of the wall clock, perhaps before those known so far."""
        if at < self._next_due:
            self._next_due = at
            self._look_for_due.set()

    def _rung(self, queue: str) -> None:
        """Another process has enqueued something, or might have."""
        if not queue or queue in self._config.queues:
            for child in self._children.values():
                child.tell({"say": "wake"})
        self._look_for_due.set()

    def _keep_pace(self) -> None:
        """Look seldom while the bell is heard; have the children do so too."""
        hears = self._bell is not None and self._bell.hears and not self._config.burst
        pace = LISTENING if hears else POLLING
        if pace is not self._pace:
            self._pace = pace
            for child in self._children.values():
                child.tell({"say": "pace", "poll": pace.poll})

    async def _rescue_gone(self) -> None:
        assert self._lease is not None
        me = self._lease.worker
        self._report_rescued(
            await self._call(maintenance.rescue_gone, self._store, me=me, run_dir=self._run_dir)
        )

    async def _look(self) -> None:
        assert self._lease is not None
        look = await self._call(self._store.look)
        self._solo_waiting = look.solo > 0
        if look.expired and self._clock_watch.trusts_expiry():
            rescue = maintenance.rescue_expired
            me = self._lease.worker
            self._report_rescued(await self._call(rescue, self._store, look.expired, me=me))

    def _report_rescued(self, found: list[Found]) -> None:
        for worker, jobs, reason in found:
            log.warning("rescued", lost_worker=worker, jobs=jobs, reason=reason)
        if found:
            self._wake.ring()
            self._look_for_due.set()

    async def _sweep(self) -> None:
        if await self._call(self._store.sweep):
            self._wake.ring()
        unknown = {
            kind: count
            for kind, count in (await self._call(self._store.kinds_waiting)).items()
            if kind not in self._kinds
        }
        if unknown:
            log.warning("jobs wait whose kind this app does not have", kinds=unknown)

    async def _prune(self) -> None:
        await self._call(maintenance.prune_all, self._store, self._config.retention)
        await self._call(self._store.tidy)

    # -- the end -------------------------------------------------------------------------

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        self._clock_watch = maintenance.ClockWatch(self._config.lease / 3)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._told_to_stop, number)
        loop.add_signal_handler(signal.SIGQUIT, self._told_to_stop, signal.SIGQUIT)

    def _told_to_stop(self, number: int) -> None:
        """First signal: drain. Second: release what runs now. SIGQUIT, or a third: end it now."""
        at = now()
        log.info("told to stop", signal=signal.Signals(number).name)
        if number == signal.SIGQUIT or at >= self._abandon_from:
            self._abandon_from = self._stop_at = at
        elif self._stopping.is_set():
            self._abandon_from = at
            self._stop_at = at + self._config.cancel_grace
        for child in self._children.values():
            if self._stop_at is not None:
                child.abandon_at = min(child.abandon_at, self._abandon_from)
                child.kill_at = min(child.kill_at, self._stop_at)
        self._stopping.set()

    async def _drain(self, renewing: asyncio.Task[bool]) -> None:
        """Let children finish within the grace; release and kill what remains."""
        assert self._lease is not None
        config, at = self._config, now()
        if self._stop_at is None:
            cut = min(config.cancel_grace, config.shutdown_timeout / 4)
            self._abandon_from = at + config.shutdown_timeout - 2 * cut
            self._stop_at = at + config.shutdown_timeout - cut
        try:
            await self._call(self._store.draining, self._lease.worker)
        except Unavailable as error:
            log.error("could not say that this worker drains", error=str(error))
        for child in list(self._children.values()):
            child.retire(
                "its worker was told to stop",
                abandon_at=self._abandon_from,
                kill_at=self._stop_at,
            )
        while self._keepers and not renewing.done():
            for child in list(self._children.values()):
                child.press(now())
            await asyncio.wait(self._keepers, timeout=PULSE)

    async def _end_children(self, *, lost: bool) -> None:
        """See that no child lives: at once when the lease was lost."""
        for child in list(self._children.values()):
            child.kill("the worker's lease was lost" if lost else "its worker stops")
        if self._keepers:
            await asyncio.wait(self._keepers)

    # -- small things --------------------------------------------------------------------

    @property
    def _run_dir(self) -> Any:
        return self._store.run_dir

    async def _call(self, verb: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run a store verb on the supervisor's own thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._store_thread, partial(verb, *args, **kwargs))

    async def _call_lease(self, verb: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run a lease verb on a thread that nothing else can hold up."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._lease_thread, partial(verb, *args, **kwargs))

    async def _patiently(self, verb: Callable[..., Any], *args: Any) -> Any:
        """Run a verb that must happen: while the store is out of reach, wait and try again."""
        wait = 0.1
        while True:
            try:
                if asyncio.iscoroutinefunction(verb):
                    return await verb(*args)
                return await self._call(verb, *args)
            except Unavailable as error:
                log.error("the store is out of reach", error=str(error))
                await asyncio.sleep(random.uniform(0, wait))
                wait = min(10.0, wait * 2)

    async def _nap(self, seconds: float) -> None:
        """Sleep, unless told to stop."""
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return


def _quietly(verb: Callable[[], Any]) -> None:
    """Run a verb whose failure changes nothing."""
    try:
        verb()
    except Unavailable:
        return
