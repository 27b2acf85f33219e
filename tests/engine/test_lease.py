"""A worker's lease, its locked file and its warden: real processes, a real store."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios import procs
from tests.scenarios.facts import always, eventually
from tests.store.hands import SettableClock
from workhorse.domain.errors import Unavailable
from workhorse.engine.clock import now
from workhorse.engine.lease import LIVE_SHARE, WARDEN_AGAIN, Lease, bury_if_gone
from workhorse.engine.lease_page import LeasePage
from workhorse.engine.locks import lock_path
from workhorse.engine.proctree import TREE_MARK
from workhorse.store.protocol import NewWorker, Store

pytestmark = pytest.mark.needs("linux")

ME = NewWorker(
    host="here",
    pid=os.getpid(),
    queues=("default",),
    kinds=(),
    processes=1,
    concurrency=1,
    lease=30.0,
)
LONG = 600.0
TREE = uuid.uuid4().hex
"""Marks the processes of these tests: others, at the same time, have a tree of their own."""


async def call(verb: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return verb(*args, **kwargs)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def lease(store: Store, stack: ExitStack) -> Callable[..., Lease]:
    """Return a function that begins a lease."""

    def begin(length: float = LONG, tree: str = TREE) -> Lease:
        lease = Lease(store, call, length, tree)
        stack.callback(lease.end)
        asyncio.run(lease.begin(ME, store.run_dir))
        return lease

    return begin


@pytest.fixture
def member(stack: ExitStack) -> Callable[..., int]:
    """Return a function that starts a process of a worker's tree."""

    def start(tree: str | None = TREE, *, session: bool = True) -> int:
        environment = {} if tree is None else {TREE_MARK: tree}
        process = subprocess.Popen(
            [sys.executable, "-S", "-c", "import time; time.sleep(60)"],
            env=environment,
            start_new_session=session,
        )
        stack.callback(process.wait)
        stack.callback(process.kill)
        return process.pid

    return start


def test_a_lease_is_a_row_a_lock_and_a_warden(lease: Callable[..., Lease], store: Store) -> None:
    """While it is held the file is locked and the warden lives; afterwards neither is left."""
    one = lease()
    path = lock_path(store.run_dir or Path(), one.worker)
    assert [worker.id for worker in store.workers()] == [one.worker]
    assert path.exists()
    assert not bury_if_gone(path.parent, one.worker)
    eventually(lambda: procs.alive(one.warden_pid))
    assert one.is_alive
    one.end()
    assert not procs.alive(one.warden_pid)
    assert not path.exists()


def test_the_warden_is_replaced(lease: Callable[..., Lease]) -> None:
    """A warden that was killed is started again; one that lives is left alone."""
    one = lease()
    first = one.warden_pid
    one.keep_warden()
    assert one.warden_pid == first
    os.kill(first, signal.SIGKILL)
    eventually(lambda: not procs.alive(first))
    one.keep_warden()
    assert one.warden_pid != first
    eventually(lambda: procs.alive(one.warden_pid))


def test_a_warden_that_cannot_be_started_is_tried_again(
    lease: Callable[..., Lease], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the limit of open files there is none for a while, and nothing else is closed for it.

    It is not tried, and told of, each time that somebody looks.
    """
    tried = []

    def refuse() -> None:
        tried.append(now())
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    one = lease()
    os.kill(one.warden_pid, signal.SIGKILL)
    eventually(lambda: not procs.alive(one.warden_pid))
    with monkeypatch.context() as limit, Path(os.devnull).open() as another:
        limit.setattr("workhorse.engine.lease.os.pipe", refuse)
        one.keep_warden()
        theirs = os.dup(another.fileno())  # has the number of what was let go of
        one.keep_warden()
        os.close(theirs)
        assert len(tried) == 1

    def is_kept() -> bool:
        one.keep_warden()
        return procs.alive(one.warden_pid)

    eventually(is_kept)
    assert now() - tried[0] >= WARDEN_AGAIN


def watches(warden: int) -> bool:
    """Whether a warden is past its start: it does not mind being told to end then."""
    status = Path(f"/proc/{warden}/status").read_text()
    (ignored,) = (line for line in status.splitlines() if line.startswith("SigIgn:"))
    return bool(int(ignored.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


def test_a_warden_with_no_descriptor_free_ends_all_later(
    lease: Callable[..., Lease], member: Callable[..., int]
) -> None:
    """What it cannot look at is not ended yet: it does not go before that is."""
    marked = member()
    one = lease(3.0)
    eventually(lambda: watches(one.warden_pid))
    with procs.no_descriptor(one.warden_pid):
        eventually(lambda: not one.is_alive)
        always(lambda: procs.alive(one.warden_pid), during=0.5)
        assert procs.alive(marked)
    eventually(lambda: not procs.alive(marked))


def test_children_die_before_the_lease_of_one_that_does_not_renew(
    lease: Callable[..., Lease], member: Callable[..., int]
) -> None:
    """Past `live_until` the warden ends all that is the worker's: by its mark, by its session."""
    length = 3.0
    marked, plain, stranger = member(), member(None), member("another-tree")
    began = time.monotonic()
    one = lease(length)
    one.take_in(plain)
    eventually(lambda: not procs.living([marked, plain]), within=length * 3, every=0.005)
    gone = time.monotonic() - began
    assert LIVE_SHARE * length <= gone < length, f"ended after {gone:.2f} s"
    assert procs.alive(stranger)
    assert not one.is_alive


def test_a_renewed_lease_hurts_nobody(
    lease: Callable[..., Lease], member: Callable[..., int], store: Store
) -> None:
    """As long as it is renewed, children live on, past where the lease once ended."""
    child = member()
    one = lease(0.8)
    began = now()

    def renewed() -> bool:
        return asyncio.run(one.renew(3)) and procs.alive(child)

    always(renewed, during=1.6)
    assert not one.lapsed_since(began)
    assert store.workers()[0].restarts == 3


def test_a_worker_found_lost_is_told(lease: Callable[..., Lease], store: Store) -> None:
    """A renewal of a worker whose jobs were given away is refused, and moves nothing."""
    one = lease()
    store.rescue(one.worker, reason="a test", expired_only=False)
    assert asyncio.run(one.renew(0)) is False


def test_a_lapse_is_remembered(lease: Callable[..., Lease], clock: SettableClock) -> None:
    """A lease renewed too late lives again, but what died meanwhile is not to be blamed."""
    one = lease(0.5)
    born = now()
    assert not one.lapsed_since(born)
    eventually(lambda: not one.is_alive)
    assert one.lapsed_since(born)
    assert asyncio.run(one.renew(0))
    assert one.is_alive
    assert one.lapsed_since(born)
    assert not one.lapsed_since(now())


def test_a_clean_stop_ends_nothing(lease: Callable[..., Lease], member: Callable[..., int]) -> None:
    """A supervisor that says goodbye has ended its children itself: the warden just goes."""
    bystander = member()
    one = lease()
    one.end()
    one_more_look = procs.alive(bystander)
    assert one_more_look


SUPERVISOR = """
import asyncio, os, subprocess, sys, time
from tests.engine.test_lease import ME, call
from workhorse.engine.lease import Lease
from workhorse.engine.proctree import TREE_MARK
from workhorse.store.opening import open_store

store = open_store(sys.argv[1])
lease = Lease(store, call, 600.0, sys.argv[2])
asyncio.run(lease.begin(ME, store.run_dir))
SLEEP = [sys.executable, "-S", "-c", "import time; time.sleep(60)"]
marked = subprocess.Popen(SLEEP, env={TREE_MARK: sys.argv[2]}, pass_fds=[lease.lock_fd])
plain = subprocess.Popen(SLEEP, env={}, start_new_session=True)
lease.take_in(plain.pid)
print(lease.worker, lease.warden_pid, marked.pid, plain.pid, flush=True)
time.sleep(60)
"""


def test_an_end_the_store_was_not_told_of_is_proven(
    lease: Callable[..., Lease], store: Store
) -> None:
    """A worker that could not say goodbye leaves its file unlocked: others see that it is gone."""
    one = lease()
    one.end(known=False)
    assert bury_if_gone(store.run_dir or Path(), one.worker)


def test_a_killed_supervisor_takes_its_tree_with_it(
    store: Store, tmp_path: Path, stack: ExitStack
) -> None:
    """Its warden ends the tree, then goes: the lock falls free, and that is the proof."""
    supervisor = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, f"sqlite:///{tmp_path / 'jobs.db'}", TREE],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        stdout=subprocess.PIPE,
        text=True,
    )
    stack.enter_context(supervisor)
    stack.callback(supervisor.kill)
    assert supervisor.stdout is not None
    worker, warden, *tree = (int(word) for word in supervisor.stdout.readline().split())
    run_dir = store.run_dir or Path()
    eventually(lambda: procs.variable(warden, TREE_MARK) == TREE)
    assert not bury_if_gone(run_dir, worker)
    # A warden still on its way up has not yet begun to watch: its pipe waits for it.
    supervisor.kill()
    eventually(lambda: bury_if_gone(run_dir, worker), every=0.005)
    # One that has ended lets go of its files, and of the lock, a moment before it is a zombie.
    eventually(lambda: not procs.living([warden, *tree]), within=1.0)


def test_the_last_escapee_is_ended_before_a_worker_is_declared_gone(
    store: Store, member: Callable[..., int]
) -> None:
    """What escaped even the warden is found by its mark: only then may its jobs run again."""
    run_dir = store.run_dir or Path()
    escaped, stranger = member(), member("b-tree")
    lock_path(run_dir, 7).write_text(TREE)
    assert bury_if_gone(run_dir, 7)
    assert not procs.alive(escaped)
    assert procs.alive(stranger)
    lock_path(run_dir, 7).unlink()
    assert not bury_if_gone(run_dir, 7), "without a file nothing is proven"


def test_a_lock_that_cannot_be_taken_is_a_store_out_of_reach(
    store: Store, tmp_path: Path, stack: ExitStack
) -> None:
    """A run folder that cannot be written is said so; a later try begins the same worker."""
    one = Lease(store, call, LONG, TREE)
    stack.callback(one.end)
    with pytest.raises(Unavailable, match="Cannot lock"):
        asyncio.run(one.begin(ME, tmp_path / "nowhere"))
    asyncio.run(one.begin(ME, store.run_dir))
    assert [worker.id for worker in store.workers()] == [one.worker]


def test_the_page_holds_as_many_children_as_it_can() -> None:
    """Children come and go on the page; more than it has room for do no harm."""
    page = LeasePage.create()
    other = LeasePage(os.dup(page.fd))
    page.live_until = 12.5
    page.add(11)
    page.add(12)
    page.remove(11)
    page.remove(99)
    assert (other.live_until, other.children) == (12.5, frozenset({12}))
    for pid in range(1000, 4000):
        page.add(pid)
    assert {12, 1000} < other.children
    assert other.live_until == 12.5
    page.close()
    other.close()
