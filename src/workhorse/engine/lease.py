"""A worker's claim to be alive: its row's lease, its locked file, and the warden's page."""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from workhorse.engine.clock import now
from workhorse.engine.proctree import TREE_MARK, kill_marked
from workhorse.engine.warden import LEASE_PAGE
from workhorse.store.protocol import NewWorker, SupervisorStore

FENCE: Final = 0.8
"""The share of a lease after which an unrenewed worker's children must be dead."""

Call = Callable[..., Awaitable[Any]]
"""Runs a store verb off the loop."""


def lock_path(run_dir: Path, worker: int) -> Path:
    """Return the file that a worker's whole process tree keeps locked."""
    return run_dir / f"worker-{worker}.lock"


class Lease:
    """One incarnation of a worker: from `begin` until `end`, or until it was found lost."""

    def __init__(self, store: SupervisorStore, call: Call, length: float, tree: str) -> None:
        """Hold leases of `length` seconds for the process tree marked `tree`."""
        self._store = store
        self._call = call
        self._length = length
        self.worker = 0
        self.tree = tree
        self.fence = 0.0
        """The local instant past which this worker's children must not live."""
        self.lock_fd = -1
        self._lock: Path | None = None
        self._page_fd = os.memfd_create("workhorse-lease")
        os.ftruncate(self._page_fd, mmap.PAGESIZE)
        self._page = mmap.mmap(self._page_fd, mmap.PAGESIZE)
        self._pipe: int = -1
        self._warden: subprocess.Popen[bytes] | None = None

    async def begin(self, worker: NewWorker, run_dir: Path | None) -> int:
        """Register, lock the worker's file, and set the warden; return the new id."""
        sent = now()
        self.worker = await self._call(self._store.register, worker)
        self._move(sent)
        if run_dir is not None:
            self._take_lock(run_dir)
        self.keep_warden()
        return self.worker

    def _take_lock(self, run_dir: Path) -> None:
        """Lock under another name first: the file is never seen unlocked while we live."""
        draft = run_dir / f"{self.tree}.draft"
        self.lock_fd = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self.lock_fd, fcntl.LOCK_EX)
        os.write(self.lock_fd, self.tree.encode())
        self._lock = lock_path(run_dir, self.worker)
        draft.rename(self._lock)

    def keep_warden(self) -> None:
        """Start the warden when there is none (or no longer)."""
        if self._warden is not None and self._warden.poll() is None:
            return
        if self._pipe >= 0:
            os.close(self._pipe)
        theirs, self._pipe = os.pipe()
        lock = [self.lock_fd] if self.lock_fd >= 0 else []
        self._warden = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "workhorse.engine.warden",
                *(str(fd) for fd in (self._page_fd, theirs, self.lock_fd, os.getpid())),
                self.tree,
            ],
            pass_fds=[self._page_fd, theirs, *lock],
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            env={**os.environ, TREE_MARK: self.tree},
        )
        os.close(theirs)

    @property
    def warden_pid(self) -> int:
        """The warden's process id."""
        return self._warden.pid if self._warden else 0

    async def renew(self, restarts: int) -> bool:
        """Move the lease on; False when the worker was found lost and its jobs were given away."""
        sent = now()
        held: bool = await self._call(
            self._store.renew, self.worker, self._length, restarts=restarts
        )
        if held:
            self._move(sent)
        return held

    def _move(self, sent: float) -> None:
        self.fence = sent + FENCE * self._length
        LEASE_PAGE.pack_into(self._page, 0, self.fence)

    @property
    def is_alive(self) -> bool:
        """Whether children may live: the lease was renewed lately enough."""
        return now() < self.fence

    def end(self) -> None:
        """Let go: dismiss the warden, unlock. To be called when no child lives any more."""
        if self._pipe >= 0:
            with contextlib.suppress(OSError):
                os.write(self._pipe, b".")
            os.close(self._pipe)
            self._pipe = -1
        if self._warden is not None:
            self._warden.wait()
        if self._lock is not None:
            self._lock.unlink(missing_ok=True)
        if self.lock_fd >= 0:
            os.close(self.lock_fd)
            self.lock_fd = -1
        self._page.close()
        os.close(self._page_fd)


def locked_workers(run_dir: Path) -> list[int]:
    """Return the workers that have a file in `run_dir`, locked or not."""
    names = (path.name.removeprefix("worker-") for path in run_dir.glob("worker-*.lock"))
    return sorted(int(name) for name in (n.removesuffix(".lock") for n in names) if name.isdigit())


def bury_if_gone(run_dir: Path, worker: int) -> bool:
    """Tell whether the whole process tree of `worker` is provably gone, and see that it is.

    Proof is that nobody holds its locked file any more. What escaped its warden is killed by
    its mark before this returns True. False also when there is no file: nothing is proven. The
    file is left for as long as its jobs are not given back.
    """
    path = lock_path(run_dir, worker)
    try:
        fd = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        tree = os.pread(fd, 64, 0).decode("ascii", "replace")
        if tree:
            kill_marked(TREE_MARK, tree)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True
