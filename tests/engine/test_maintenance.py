"""The passes any supervisor makes for the whole store, on a store whose time the test moves."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.store.hands import ERROR, OK, SettableClock, Worker, put, put_many, state, the
from workhorse.domain.errors import StoreFull, StoreGone, Unavailable
from workhorse.domain.job import State
from workhorse.engine import maintenance
from workhorse.engine.lease import take_lock
from workhorse.engine.locks import lock_path
from workhorse.engine.maintenance import (
    ClockWatch,
    Found,
    every,
    prune_all,
    rescue_expired,
    rescue_gone,
)
from workhorse.engine.offloop import OffLoop
from workhorse.store.protocol import Retention, Store

GONE = "the worker's processes are gone"
EXPIRED = "the worker's lease ran out"


def run_dir(store: Store) -> Path:
    assert store.run_dir is not None
    return store.run_dir


def test_jobs_of_a_worker_that_is_gone_are_rescued_at_once(store: Store) -> None:
    """A locked file that fell free proves it: nobody waits for the lease; nothing is blamed."""
    dead, me = Worker(store), Worker(store)
    job = put(store)
    dead.take()
    os.close(take_lock(run_dir(store), dead.id, "dead"))
    found = rescue_gone(store, me=me.id, run_dir=run_dir(store))
    assert found == [Found(dead.id, 1, GONE)]
    assert state(store, job) is State.AVAILABLE
    assert (the(store, job).failures, the(store, job).lost) == (0, 1)
    assert not lock_path(run_dir(store), dead.id).exists()
    assert rescue_gone(store, me=me.id, run_dir=run_dir(store)) == []


def test_a_worker_that_lives_keeps_its_jobs(store: Store) -> None:
    """While any process of it holds the file, a worker is not gone."""
    alive, me = Worker(store), Worker(store)
    job = put(store)
    alive.take()
    fd = take_lock(run_dir(store), alive.id, "alive")
    assert rescue_gone(store, me=me.id, run_dir=run_dir(store)) == []
    assert state(store, job) is State.RUNNING
    os.close(fd)


@pytest.mark.parametrize("why", ["no file", "itself", "no folder"])
def test_without_proof_nothing_is_rescued(store: Store, why: str) -> None:
    """A worker without a file (it may be of another host), or oneself, is not judged by it."""
    worker = Worker(store)
    job = put(store)
    worker.take()
    if why != "no file":
        os.close(take_lock(run_dir(store), worker.id, "mark"))
    found = rescue_gone(
        store,
        me=worker.id if why == "itself" else 0,
        run_dir=None if why == "no folder" else run_dir(store),
    )
    assert found == []
    assert state(store, job) is State.RUNNING


def test_jobs_of_an_expired_worker_are_rescued(store: Store, clock: SettableClock) -> None:
    """When its lease has run out, and not a moment before; but never one's own."""
    silent, me = Worker(store, lease=30), Worker(store, lease=300)
    job = put(store)
    silent.take()
    clock.advance(29.9)
    assert rescue_expired(store, store.look().expired, me=me.id) == []
    clock.advance(0.1)
    assert rescue_expired(store, store.look().expired, me=silent.id) == []
    assert rescue_expired(store, store.look().expired, me=me.id) == [Found(silent.id, 1, EXPIRED)]
    assert state(store, job) is State.AVAILABLE
    assert rescue_expired(store, store.look().expired, me=me.id) == []


def test_a_late_renewal_wins_over_a_late_look(store: Store, clock: SettableClock) -> None:
    """A lease seen expired and then renewed is judged by what it is at the moment of writing."""
    slow, me = Worker(store, lease=30), Worker(store, lease=300)
    put(store)
    job = slow.take()
    clock.advance(31)
    seen = list(store.look().expired)
    assert seen == [slow.id]
    assert store.renew(slow.id, 30)
    assert store.rescue(slow.id, reason=EXPIRED) is None
    assert rescue_expired(store, store.look().expired, me=me.id) == []
    assert slow.settle(job, OK) == []


def test_pruning_goes_on_until_nothing_is_due(
    store: Store, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is beyond the retention goes batch by batch, all of it in one pass; the rest stays."""
    monkeypatch.setattr(maintenance, "PRUNE_BATCH", 10)
    worker = Worker(store, lease=1e6)
    old = put_many(store, 35)
    for _ in old:
        worker.run(OK)
    clock.advance(1000)
    failed = put(store, max_attempts=1)
    worker.run(ERROR)
    waiting = put(store)
    retention = Retention(succeeded=500, failed=None, cancelled=None)
    batches = []

    async def prune(size: int) -> int:
        batches.append(size)
        return store.prune(retention, batch=size)

    assert asyncio.run(prune_all(prune)) == 35
    assert batches == [10] * 5
    assert all(store.get(job) is None for job in old)
    assert state(store, failed) is State.FAILED
    assert state(store, waiting) is State.AVAILABLE
    assert asyncio.run(prune_all(prune)) == 0


def test_a_short_batch_is_not_the_last() -> None:
    """Jobs with many events go few at a time: pruning ends when nothing went."""
    batches = [3, 1, 1000, 0]

    async def prune(_: int) -> int:
        return batches.pop(0)

    assert asyncio.run(prune_all(prune)) == 1004


def test_no_pass_waits_for_all_that_is_pruned(
    store: Store, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much there is to prune, what else a supervisor has to do comes in between."""
    monkeypatch.setattr(maintenance, "PRUNE_BATCH", 1)
    for job in put_many(store, 5):
        store.cancel(job)
    clock.advance(1000)

    async def supervise() -> int:
        calls = OffLoop("store")
        retention = Retention(cancelled=500)
        pruning = asyncio.create_task(
            prune_all(lambda size: calls.call(store.prune, retention, batch=size))
        )
        await asyncio.sleep(0)
        await calls.call(store.promote)
        assert not pruning.done()
        return await pruning

    assert asyncio.run(supervise()) == 5


class Clocks:
    """A store's clock that can be set, beside one of durations that cannot."""

    def __init__(self) -> None:
        self.elapsed = 1000.0
        self.ahead = 1e9
        self._watch = ClockWatch(10.0, elapsed=lambda: self.elapsed)

    def trusted(self, *, taking: float = 0.0, told: float = 0.0) -> bool:
        """Look, as a supervisor does; the answer takes long, and tells of a moment in between."""
        asked = self.elapsed
        self.elapsed += taking
        self._watch.note(asked + told + self.ahead, asked=asked)
        return self._watch.trusts_expiry()


@pytest.mark.parametrize("jump", [3600.0, -3600.0, 11.0])
def test_a_jump_of_the_clock_is_not_taken_for_expiry(jump: float) -> None:
    """When the store's clock jumps, leases are not judged until all have had time to renew."""
    clocks = Clocks()
    assert clocks.trusted()
    clocks.ahead += jump
    assert not clocks.trusted()
    clocks.elapsed += 29.0
    assert not clocks.trusted()
    clocks.elapsed += 1.0
    assert clocks.trusted()


def test_time_that_passes_is_no_jump() -> None:
    """Neither an hour between two looks, nor a clock that is slewed, raises distrust."""
    clocks = Clocks()
    for _ in range(100):
        clocks.elapsed += 3600.0
        clocks.ahead += 5.0
        assert clocks.trusted()


def test_a_slow_answer_is_no_jump() -> None:
    """Whenever the store looked at its clock meanwhile; a jump is seen beside it all the same."""
    clocks = Clocks()
    for taking, told in ((0.0, 0.0), (60.0, 0.0), (60.0, 60.0), (0.0, 0.0), (60.0, 60.0)):
        assert clocks.trusted(taking=taking, told=told)
    clocks.ahead += 3600.0
    assert not clocks.trusted(taking=60.0)


def test_a_pass_is_repeated_though_the_store_is_away() -> None:
    """A store out of reach, or full, or no free descriptor puts a pass off; a bug ends it."""
    away, full, no_descriptor = Unavailable("away"), StoreFull("full"), OSError(errno.EMFILE, "")
    troubles = [away, full, no_descriptor, None, ValueError("a bug")]
    done: list[BaseException | None] = []

    async def one_pass() -> None:
        done.append(trouble := troubles[len(done)])
        if trouble is not None:
            raise trouble

    with pytest.raises(ValueError, match="a bug"):
        asyncio.run(every(lambda: 0.001, one_pass))
    assert done == troubles

    troubles.insert(2, StoreGone("deleted"))
    done.clear()
    with pytest.raises(StoreGone):
        asyncio.run(every(lambda: 0.001, one_pass))


def test_a_pass_that_is_put_off_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, and again when much time has passed: not at each try, nor after each success."""
    elapsed = iter([0.0, 1.0, 599.9, 600.0, 600.1])
    monkeypatch.setattr(maintenance, "now", lambda: next(elapsed))
    troubles = [*"ab", None, *"cde"]

    async def prune() -> None:
        if not troubles:
            raise StoreGone("deleted")
        if (trouble := troubles.pop(0)) is not None:
            raise Unavailable(trouble)

    with capture_logs() as logs, pytest.raises(StoreGone):
        asyncio.run(every(0.001, prune))
    told = {"event": "a pass was put off", "log_level": "warning"}
    assert logs == [told | {"which": "prune", "error": error} for error in "ad"]


def test_a_lock_is_never_seen_free_while_it_is_taken(tmp_path: Path) -> None:
    """The file appears under its name only when it is locked, and tells whose it is."""
    fd = take_lock(tmp_path, 7, "the mark")
    with lock_path(tmp_path, 7).open() as file:
        assert file.read() == "the mark"
        with pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(fd)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert [path.name for path in tmp_path.iterdir()] == ["worker-7.lock"]
