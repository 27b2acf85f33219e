"""A worker's claim to be alive: its row's lease, its locked file, and the warden's page."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from workhorse.domain.errors import Unavailable
from workhorse.engine.clock import now
from workhorse.engine.command import command
from workhorse.engine.lease_page import LeasePage
from workhorse.engine.locks import lock_path
from workhorse.engine.proctree import TREE_MARK, Family, kill_family
from workhorse.logs import log
from workhorse.store.protocol import NewWorker, SupervisorStore

LIVE_SHARE: Final = 0.8
"""The share of a lease after which an unrenewed worker's children must be dead."""

WARDEN_AGAIN: Final = 1.0
"""Seconds until a warden that could not be started is tried again."""

Call = Callable[..., Awaitable[Any]]
"""Runs a store verb off the loop."""


def take_lock(run_dir: Path, worker: int, mark: str) -> int:
    """Lock the file of `worker`, and return its descriptor: locked as long as it is open.

    `mark` is kept in the file: what carries it belongs to the worker. The lock is taken under
    another name first: the file is never seen unlocked while the worker lives. Raises
    `Unavailable` where that cannot be done.
    """
    try:
        return _locked_draft(run_dir / f"{mark}.draft", mark, lock_path(run_dir, worker))
    except OSError as error:
        raise Unavailable(f"Cannot lock a file in {run_dir}: {error.strerror}.") from error


def _locked_draft(draft: Path, mark: str, path: Path) -> int:
    fd = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        os.write(fd, mark.encode())
        draft.rename(path)
    except OSError:
        os.close(fd)
        draft.unlink(missing_ok=True)
        raise
    return fd


class Lease:
    """One incarnation of a worker: from `begin` until `end`, or until it was found lost."""

    def __init__(self, store: SupervisorStore, call: Call, length: float, tree: str) -> None:
        """Hold leases of `length` seconds for the process tree marked `tree`."""
        self._store = store
        self._call = call
        self._length = length
        self.worker = 0
        self.tree = tree
        self.lock_fd = -1
        self._lock: Path | None = None
        self._page = LeasePage.create()
        self._lapsed_at = float("-inf")
        self._pipe = -1
        self._warden: subprocess.Popen[bytes] | None = None
        self._next_try = 0.0

    async def begin(self, worker: NewWorker, run_dir: Path | None) -> int:
        """Register, lock the worker's file, and set the warden; return the new id.

        Raises `Unavailable`, and may then be called again.
        """
        if not self.worker:
            sent = now()
            self.worker = await self._call(self._store.register, worker)
            self._move(sent)
        if run_dir is not None and self.lock_fd < 0:
            self.lock_fd = take_lock(run_dir, self.worker, self.tree)
            self._lock = lock_path(run_dir, self.worker)
        self.keep_warden()
        return self.worker

    def keep_warden(self) -> None:
        """Start the warden when there is none (or no longer); where that fails, say so.

        Then it is not tried again at once, however often this is called.
        """
        if (self._warden is not None and self._warden.poll() is None) or now() < self._next_try:
            return
        try:
            self._start_warden()
        except OSError as error:
            self._next_try = now() + WARDEN_AGAIN
            log.error("the warden could not be started", error=str(error))

    def _start_warden(self) -> None:
        self._close_pipe()
        theirs, self._pipe = os.pipe()
        fds = (self._page.fd, theirs, self.lock_fd)
        try:
            self._warden = subprocess.Popen(
                command("warden", *fds, os.getpid(), self.tree),
                pass_fds=[fd for fd in fds if fd >= 0],
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                env={**os.environ, TREE_MARK: self.tree},
            )
        finally:
            os.close(theirs)

    def _close_pipe(self) -> None:
        pipe, self._pipe = self._pipe, -1
        if pipe >= 0:
            os.close(pipe)

    @property
    def warden_pid(self) -> int:
        """The warden's process id."""
        return self._warden.pid if self._warden else 0

    def take_in(self, child: int) -> None:
        """Have the warden end the process `child` and its session with the rest."""
        self._page.add(child)

    def let_go(self, child: int) -> None:
        """Nothing of `child` is left; called before its process is reaped."""
        self._page.remove(child)

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
        if self._page.live_until and not self.is_alive:
            self._lapsed_at = now()
        self._page.live_until = sent + LIVE_SHARE * self._length

    @property
    def is_alive(self) -> bool:
        """Whether children may live: the lease was renewed lately enough."""
        return now() < self._page.live_until

    def lapsed_since(self, at: float) -> bool:
        """Whether, at some time since `at`, children might not live: the warden ends them then."""
        return not self.is_alive or self._lapsed_at >= at

    def end(self, *, known: bool = True) -> None:
        """Let go: dismiss the warden, unlock. To be called when no child lives any more.

        Where the store does not know of the end, the file stays: unlocked it is the proof of it.
        """
        if self._pipe >= 0:
            with contextlib.suppress(OSError):
                os.write(self._pipe, b".")
            self._close_pipe()
        if self._warden is not None:
            self._warden.wait()
        if self._lock is not None and known:
            self._lock.unlink(missing_ok=True)
        if self.lock_fd >= 0:
            os.close(self.lock_fd)
            self.lock_fd = -1
        self._page.close()


def locked_workers(run_dir: Path) -> list[int]:
    """Return the workers that have a file in `run_dir`, locked or not. May raise `OSError`."""
    files = (path for path in run_dir.iterdir() if path.suffix == ".lock")
    names = (path.stem.removeprefix("worker-") for path in files)
    return sorted(int(name) for name in names if name.isdigit())


def bury_if_gone(run_dir: Path, worker: int) -> bool:
    """Tell whether the whole process tree of `worker` is provably gone, and see that it is.

    Proof is that nobody holds its locked file any more. What escaped its warden is killed by
    its mark before this returns True. False also when there is no file: nothing is proven. The
    file stays for as long as its jobs are not given back: removing it is the caller's.
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
            kill_family(Family(f"{TREE_MARK}={tree}"))
    except OSError:
        return False
    finally:
        os.close(fd)
    return True
