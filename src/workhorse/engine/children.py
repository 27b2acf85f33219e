"""The children of a supervisor: started, watched, replaced; and seen off when they are dead."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from workhorse.domain.errors import ConfigurationError, Unavailable
from workhorse.domain.events import Life
from workhorse.engine.autopsy import Death
from workhorse.engine.board import NEVER
from workhorse.engine.clock import now
from workhorse.engine.config import WorkerConfig
from workhorse.engine.process import ChildProcess, reap_strangers
from workhorse.engine.remains import Remains, settle_remains
from workhorse.engine.restarts import ENOUGH_TROUBLE, Restarts, Troubles
from workhorse.engine.wake import sweep_sockets
from workhorse.logs import log
from workhorse.store.opening import same_store
from workhorse.store.protocol import CancelRequest

if TYPE_CHECKING:
    from workhorse.engine.service import Service
    from workhorse.engine.stopping import Stopping


STUCK: Final = 2.0
"""A child whose loop has not turned for so long cannot end a job by itself."""
SOLO_IDLE: Final = 5.0
"""A child for jobs that must run alone is let go when there was none for so long."""


class Children:
    """All children of one worker. They `serve` under one lease at a time."""

    def __init__(
        self,
        config: WorkerConfig,
        tree: str,
        stopping: Stopping,
        *,
        on_lease_lost: Callable[[], None],
        on_failure: Callable[[BaseException], None],
        on_scheduled: Callable[[float], None],
        on_unswept: Callable[[], None],
    ) -> None:
        """Start none yet.

        `on_lease_lost` is called when a child was told so, `on_failure` is told what the worker
        cannot go on from, `on_scheduled` in how many seconds a job given back is due, and
        `on_unswept` that more jobs wait for one that has ended than were seen to.
        """
        self.solo_waiting = False
        """Whether there are jobs that must run alone."""
        self._config = config
        self._tree = tree
        self._stopping = stopping
        self._on_lease_lost = on_lease_lost
        self._on_failure = on_failure
        self._on_scheduled = on_scheduled
        self._on_unswept = on_unswept
        self._least_poll = 0.0
        self._told_of_base = False
        self._url = ""
        """Where the app keeps its jobs, as the first child says."""
        self._service: Service
        self._number = 0
        self._all: dict[int, ChildProcess] = {}
        self._held_up: dict[int, Remains] = {}
        """By number, the dead whose jobs another's transaction keeps from being settled."""
        self._keepers: set[asyncio.Task[None]] = set()
        self._restarts = Restarts(config.restart_delay, config.crash_loop_minutes * 60)
        self._troubles = Troubles()

    # -- starting ------------------------------------------------------------------------

    async def first(self) -> ChildProcess | None:
        """Start a child and hear from it what the app is; None when told to stop meanwhile.

        Raises `ConfigurationError` when that fails three times in a row.
        """
        while not self._stopping.is_asked:
            child = self._spawn(solo=False)
            opening = asyncio.ensure_future(child.open())
            stopped = asyncio.ensure_future(self._stopping.wait())
            await asyncio.wait({opening, stopped}, return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
            if not opening.done():
                child.kill("its worker was told to stop")
            if await opening:
                assert child.hello is not None
                self._url = child.hello["url"]
                return child
            await child.gone()
            death = child.reap()
            self._forget(child)
            if not self._stopping.is_asked:
                self._restarts.back_off(now(), now() - child.started)
                self._note_trouble(child, child.trouble or _mute(death))
                await self._stopping.nap(self._restarts.start_after - now())
        return None

    def _spawn(self, *, solo: bool) -> ChildProcess:
        self._number += 1
        child = ChildProcess(self._number, self._config, self._tree, solo=solo)
        self._all[child.number] = child
        return child

    def _forget(self, child: ChildProcess) -> None:
        child.board.close()
        del self._all[child.number]

    def _note_trouble(self, child: ChildProcess, trouble: ConfigurationError) -> None:
        """Say why a child could not import the app; raise that when it will not pass."""
        troubles = self._troubles
        reason = troubles.note(trouble, started=child.started, at=now())
        log.warning(
            "the app cannot be imported", times=troubles.times, of=ENOUGH_TROUBLE, reason=reason
        )
        if troubles.will_not_pass:
            raise trouble

    def serve(self, service: Service) -> None:
        """Work for this lease from now on; put to work who waits for it."""
        self._service = service
        self._held_up.clear()
        for child in self._all.values():
            self._keep(child)

    def _keep(self, child: ChildProcess) -> None:
        keeper = asyncio.create_task(self._follow(child))
        self._keepers.add(keeper)
        keeper.add_done_callback(self._kept)

    def _kept(self, keeper: asyncio.Task[None]) -> None:
        self._keepers.discard(keeper)
        if not keeper.cancelled() and (error := keeper.exception()) is not None:
            self._on_failure(error)

    # -- one child's life ----------------------------------------------------------------

    async def _follow(self, child: ChildProcess) -> None:
        """Follow one child to its end, and settle what it leaves."""
        lease = self._service.lease
        opened = child.hello or await child.open()
        if child.hello is not None and not same_store(child.hello["url"], self._url):
            self._on_failure(_MOVED)
            child.kill("its app keeps its jobs in another store")
        elif opened and child.retiring is None:
            self._troubles.clear()
            lease.take_in(child.pid)
            withheld = min(self._still_in_use(), child.board.slots)
            child.start(lease.worker, lease.lock_fd, withheld=0 if child.solo else withheld)
            child.tell({"say": "pace", "poll": self._least_poll})
            while (message := await child.receive()) is not None:
                self._hear(child, message)
        await child.gone()
        lease.let_go(child.pid)
        if (run_dir := self._service.store.run_dir) is not None:
            sweep_sockets(run_dir)
        death = child.reap()
        if death.planned is None and lease.lapsed_since(child.started):
            death = death._replace(planned="the worker's lease could not be renewed in time")
        try:
            await self._see_off(child, death)
        finally:
            self._forget(child)

    def _hear(self, child: ChildProcess, message: dict[str, Any]) -> None:
        at = now()
        match message["say"]:
            case "report":
                child.finished = message["finished"]
                child.idle = message["idle"]
                child.empty = message["empty"]
            case "condemned":
                grace = self._config.shutdown_timeout
                child.retire(
                    "its process is ended because another job in it did not end",
                    abandon_at=at + grace,
                    kill_at=at + grace + self._config.cancel_grace + 1,
                )
            case "lease_lost":
                self._on_lease_lost()
            case "scheduled":
                self._on_scheduled(message["delay"])
            case "done":
                child.kill_at = min(child.kill_at, at + self._config.cancel_grace)

    async def _see_off(self, child: ChildProcess, death: Death) -> None:
        """Settle what a dead child held; if nobody wanted its end, count it and back off."""
        lived = now() - child.started
        if child.trouble is not None:
            self._restarts.died(now())
            self._restarts.back_off(now(), lived)
            self._note_trouble(child, child.trouble)
            return
        if child.serving:
            remains = Remains(child.board.running(), death, now())
            await self._settle_dead(child.number, remains)
        event = log.info if death.planned else log.warning
        event(
            "child ended",
            worker=self._service.lease.worker,
            child=child.number,
            pid=child.pid,
            reason=death.planned,
            exit_code=death.exit_code,
            exit_signal=death.exit_signal,
        )
        if death.planned is None:
            self._restarts.died(now())
            if not (child.solo and child.serving):  # a poisonous job's own process may die young
                self._restarts.back_off(now(), lived)
            await self._note_death(child, death)

    async def settle_strays(self, holding: Iterable[int]) -> None:
        """Give back what the store says is held by children that are no more.

        One dies while its claim is on the way, and the store carries it out all the same. Or
        another's transaction has kept it from being settled.
        """
        for number in set(holding) - self._all.keys():
            unknown = Remains([], Death(planned="its process is gone"), now())
            again = number in self._held_up
            await self._settle_dead(number, self._held_up.pop(number, unknown), again=again)

    async def _settle_dead(self, number: int, remains: Remains, *, again: bool = False) -> None:
        after = await settle_remains(self._service, number, remains, again=again)
        if after.is_kept:
            self._held_up[number] = remains
        self.solo_waiting |= after.solo
        if after.due is not None:
            self._on_scheduled(after.due)
        if after.unswept:
            self._on_unswept()

    async def _note_death(self, child: ChildProcess, death: Death) -> None:
        lease, store, calls, *_ = self._service
        data = {"child": child.number, **death._asdict()}
        try:
            await calls.call(store.note, Life.CHILD_DIED.value, worker=lease.worker, data=data)
        except Unavailable as error:
            log.debug("a death could not be written down", error=str(error))

    # -- looking after all of them -------------------------------------------------------

    def wake(self) -> None:
        """Have every child look for jobs now."""
        for child in self._all.values():
            child.wake()

    def pace(self, least_poll: float) -> None:
        """Have idle children look no more often than every `least_poll` seconds by themselves."""
        self._least_poll = least_poll
        for child in self._all.values():
            child.tell({"say": "pace", "poll": least_poll})

    @property
    def restarts(self) -> int:
        """Deaths nobody wanted, within the minutes that make a crash loop."""
        return self._restarts.lately(now())

    def look_after(self, at: float) -> None:
        """Look at every child: carry out what is due, recycle what is old, start what lacks."""
        reap_strangers(
            {child.pid for child in self._all.values()} | {self._service.lease.warden_pid}
        )
        for child in list(self._all.values()):
            child.press(at)
            if child.serving and child.retiring is None:
                self._recycle_if_due(child, at)
        self._withhold()
        if not self._stopping.is_asked and self._service.lease.is_alive:
            self._start_missing(at)

    def _withhold(self) -> None:
        """Have as many slots left free as are still in use in children that are being replaced.

        The youngest leave them first, for it is they who replace.
        """
        left = self._still_in_use()
        for child in sorted(self._all.values(), key=lambda child: -child.number):
            if child.serving and child.retiring is None and not child.solo:
                slots = min(left, child.board.slots)
                left -= slots
                child.withhold(slots)

    def _still_in_use(self) -> int:
        """Return how many attempts run in children that are to end."""
        ending = [child for child in self._all.values() if child.retiring and not child.solo]
        return sum(len(child.board.running()) for child in ending)

    def _recycle_if_due(self, child: ChildProcess, at: float) -> None:
        """Have a child that has served long enough finish what it runs and be replaced."""
        config = self._config
        age = at - child.started
        reason = None
        if child.solo:
            if child.idle and not self.solo_waiting and age > SOLO_IDLE:
                reason = "no job needs to run alone"
        elif config.max_time is not None and age >= config.max_time:
            reason = f"it has served {config.max_time:g} s"
        elif config.max_jobs is not None and child.finished >= config.max_jobs:
            reason = f"it has run {child.finished} jobs"
        elif config.max_memory_mib is not None and child.resident_mib > config.max_memory_mib:
            if not (child.finished or child.board.running()):
                self._tell_of_base(child.resident_mib)
            else:
                reason = f"it holds {child.resident_mib:.0f} MiB"
        if reason:
            child.retire(reason, abandon_at=NEVER, kill_at=NEVER)

    def _tell_of_base(self, mib: float) -> None:
        """Say once that a child holds more than it may before it has run anything."""
        if not self._told_of_base:
            self._told_of_base = True
            log.warning(
                "max_memory_mib is less than the app itself needs: a child is recycled after each "
                "job",
                max_memory_mib=self._config.max_memory_mib,
                needed_mib=round(mib),
            )

    def _start_missing(self, at: float) -> None:
        current = [child for child in self._all.values() if child.retiring is None]
        missing = self._config.processes - sum(not child.solo for child in current)
        wanted = [False] * missing
        if self.solo_waiting and not any(child.solo for child in current):
            wanted.append(True)
        if at < self._restarts.start_after:
            return
        try:
            for solo in wanted:
                self._keep(self._spawn(solo=solo))
        except OSError as error:
            log.error("a child could not be started", error=str(error))
            self._restarts.back_off(at, 0.0)

    def all_empty(self) -> bool:
        """Whether every child found nothing left to do."""
        return (
            bool(self._all)
            and not self.solo_waiting
            and all(child.serving and child.empty for child in self._all.values())
        )

    def stuck(self, at: float) -> list[ChildProcess]:
        """Return the children that cannot end a job by themselves: one holds the interpreter."""
        return [
            child
            for child in self._all.values()
            if child.serving and 0.0 < child.board.turned_at < at - STUCK
        ]

    def end_stuck(self, at: float, told_to_end: Sequence[CancelRequest] = ()) -> None:
        """Kill stuck children that run a job over its time, or told to end: both by their grace.

        `told_to_end` is what `Store.cancel_requests` says.
        """
        grace = self._config.cancel_grace
        told = {(one.id, one.attempt) for one in told_to_end if one.since >= 1000 * grace}
        for child in self.stuck(at):
            for slot in child.board.running():
                if at > slot.deadline + grace:
                    child.kill(
                        f"its process was stuck in job {slot.job_id}, which was over its time"
                    )
                elif (slot.job_id, slot.attempt) in told:
                    child.kill(f"its process was stuck in job {slot.job_id}, which was told to end")

    def end_hung(self, looks: int) -> None:
        """Kill children that run nothing and hang: there is no time limit that would end them.

        Their loop may be seen not to turn in so many looks in a row, of which this is one.
        """
        for child in self._all.values():
            if child.serving and child.looks_unturned() >= looks and not child.board.running():
                child.kill("its process hung with no job running in it")

    # -- the end -------------------------------------------------------------------------

    async def drain(self, until: asyncio.Future[Any]) -> None:
        """Let children finish within the grace; what remains is released, then killed.

        Returns when none is left, or `until` is done.
        """
        while self._keepers and not until.done():
            for child in list(self._all.values()):
                child.retire(
                    "its worker was told to stop",
                    abandon_at=self._stopping.abandon_at,
                    kill_at=self._stopping.kill_at,
                )
                child.press(now())
            await asyncio.wait({*self._keepers, until}, timeout=0.1)

    async def kill(self, reason: str) -> None:
        """See that no child lives, and what they held is settled."""
        for child in list(self._all.values()):
            child.kill(reason)
        if self._keepers:
            await asyncio.wait(self._keepers)


_MOVED: Final = ConfigurationError(
    "The app keeps its jobs in another store than it did when this worker started.",
    hint="Start the worker again.",
)


def _mute(death: Death) -> ConfigurationError:
    how = death.exit_signal or f"exit code {death.exit_code}"
    return ConfigurationError(f"A child ended before it had imported the app ({how}).")
