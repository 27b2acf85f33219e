"""What any supervisor does for the whole store, as passes: tests call them, a ticker repeats."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Final, NamedTuple

from workhorse.domain.errors import StoreGone, Unavailable
from workhorse.engine.clock import happens, now
from workhorse.engine.lease import bury_if_gone, locked_workers
from workhorse.engine.locks import lock_path
from workhorse.engine.wake import sweep_sockets
from workhorse.logs import log
from workhorse.store.protocol import SupervisorStore

PRUNE_BATCH: Final = 1000
TOLD_AGAIN: Final = 600.0
"""Least time between two words about a pass that is put off, in seconds."""


class Pace(NamedTuple):
    """How often a supervisor looks by itself, in seconds."""

    poll: float
    """Least time between two looks of an idle child."""
    promote: float
    look: float
    sweep: float
    prune: float


POLLING: Final = Pace(poll=0.0, promote=1.0, look=1.0, sweep=30.0, prune=60.0)
"""When nothing tells of what others do."""
LISTENING: Final = Pace(poll=10.0, promote=10.0, look=5.0, sweep=60.0, prune=120.0)
"""When others ring: an idle worker then asks the store less than once a second."""


class Found(NamedTuple):
    """One worker that is no more, and how many of its jobs were given back."""

    worker: int
    jobs: int
    reason: str


def rescue_gone(store: SupervisorStore, *, me: int, run_dir: Path | None) -> list[Found]:
    """Give back, at once, the jobs of workers of this host whose process tree is provably gone."""
    if run_dir is None:
        return []
    found = []
    for worker in locked_workers(run_dir):
        if worker != me and bury_if_gone(run_dir, worker):
            reason = "the worker's processes are gone"
            jobs = store.rescue(worker, reason=reason, expired_only=False)
            lock_path(run_dir, worker).unlink(missing_ok=True)
            found.append(Found(worker, jobs or 0, reason))
    if found:
        sweep_sockets(run_dir)
    return found


def rescue_expired(store: SupervisorStore, expired: Iterable[int], *, me: int) -> list[Found]:
    """Give back the jobs of workers whose lease ran out, as far as it still has when written."""
    reason = "the worker's lease ran out"
    rescued = {worker: store.rescue(worker, reason=reason) for worker in expired if worker != me}
    return [Found(worker, jobs, reason) for worker, jobs in rescued.items() if jobs is not None]


async def prune_all(prune: Callable[[int], Awaitable[int]]) -> int:
    """Delete what is beyond the retention, by a `prune` of so many; return the sum of its answers.

    Each batch takes its turn among the other passes: however much there is, none waits for all.
    """
    total = 0
    while (gone := await prune(PRUNE_BATCH)) > 0:
        total += gone
    return total


class ClockWatch:
    """Notices when the store's clock jumps: leases are not judged until all could be renewed."""

    def __init__(self, patience: float, *, elapsed: Callable[[], float] = now) -> None:
        """Distrust expiry for three times `patience` seconds after a jump longer than it."""
        self._patience = patience
        self._elapsed = elapsed
        self._least, self._most = -math.inf, math.inf
        """How far the store's clock was ahead when last asked: between these."""
        self._distrust_until = 0.0

    def note(self, stored: float, *, asked: float) -> None:
        """Compare what the store's clock says (s) with the time that has passed here.

        It said so at some moment since it was `asked`: a slow answer is no jump.
        """
        at = self._elapsed()
        least, most = stored - at, stored - asked
        forward, back = least - self._most, self._least - most
        self._least, self._most = least, most
        if max(forward, back) > self._patience:
            log.warning("the store's clock jumped", seconds=round(max(forward, -back), 1))
            self._distrust_until = at + 3 * self._patience

    def trusts_expiry(self) -> bool:
        """Whether an expired lease may be believed now."""
        return self._elapsed() >= self._distrust_until


async def every(
    seconds: Callable[[], float] | float,
    one_pass: Callable[[], Awaitable[object]],
    *,
    sooner: asyncio.Event | None = None,
) -> None:
    """Repeat a pass for ever; a store out of reach is met with patience, not with an end.

    It is repeated `sooner` when that event comes, which is then over.
    So is a moment in which no file descriptor is free. A pass may be the only one that fails, each
    time: so it is told of. Raises `StoreGone`: that store will not come back.
    """
    told = -math.inf
    while True:
        try:
            await one_pass()
        except StoreGone:
            raise
        except (Unavailable, OSError) as error:
            if (at := now()) >= told + TOLD_AGAIN:
                told = at
                which = one_pass.__name__.strip("_")
                log.warning("a pass was put off", which=which, error=str(error))
        wait = seconds() if callable(seconds) else seconds
        if sooner is None:
            await asyncio.sleep(wait)
        elif await happens(sooner, wait):
            sooner.clear()
