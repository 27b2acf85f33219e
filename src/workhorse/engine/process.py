"""One child process, as its supervisor sees it."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, Final

from workhorse.engine.autopsy import Death
from workhorse.engine.board import Board
from workhorse.engine.clock import now
from workhorse.engine.config import WorkerConfig
from workhorse.engine.exits import exit_of, signal_name
from workhorse.engine.frames import AsyncFrames, Message
from workhorse.engine.proctree import CHILD_MARK, TREE_MARK, kill_marked, kill_tree, resident_mib

HELLO_PATIENCE: Final = 60.0


class ChildProcess:
    """A child from its start until nothing of its tree is left."""

    def __init__(self, number: int, config: WorkerConfig, tree: str, *, solo: bool) -> None:
        """Start the process; `number` is never given to another child of this worker."""
        self.number = number
        self.solo = solo
        self.started = now()
        self.board = Board.create(1 if solo else config.concurrency)
        self.mark = f"{tree}/{number}"
        self.finished = 0
        self.idle = False
        self.empty = False
        self.serving = False
        self.retiring: str | None = None
        """Why its end is wanted, once it is."""
        self.kill_at = float("inf")
        self.abandon_at = float("inf")
        ours, theirs = socket.socketpair()
        fds = (theirs.fileno(), self.board.fd)
        command = [sys.executable, "-m", "workhorse.engine.child", *(str(fd) for fd in fds)]
        self._process = subprocess.Popen(
            [*command, str(os.getpid()), config.to_json(), str(self.board.slots)],
            pass_fds=fds,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, TREE_MARK: tree, CHILD_MARK: self.mark},
        )
        theirs.close()
        self.pid = self._process.pid
        self._socket = ours
        self._frames: AsyncFrames | None = None
        self._exited = exit_of(self.pid)

    async def open(self) -> Message | None:
        """Return the child's first words: ``hello`` or ``import_error``; None if it just died."""
        self._frames = await AsyncFrames.over(self._socket)
        return await self.receive()

    async def receive(self) -> Message | None:
        """Return the child's next message, or None when it has ended."""
        assert self._frames is not None
        reading = asyncio.ensure_future(self._frames.receive())
        either: set[asyncio.Future[Any]] = {reading, self._exited}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not reading.done():
            await asyncio.wait({reading}, timeout=0.1)
        if reading.done():
            return reading.result()
        reading.cancel()
        return None

    def start(self, worker: int, lock_fd: int) -> None:
        """Let it claim jobs as part of `worker`, whose locked file it holds from now on."""
        order = {"worker": worker, "child": self.number, "solo": self.solo}
        body = json.dumps(order).encode()
        fds = [lock_fd] if lock_fd >= 0 else [self.board.fd]
        socket.send_fds(self._socket, [len(body).to_bytes(4, "little") + body], fds)
        self.serving = True

    def tell(self, message: Mapping[str, Any]) -> None:
        """Send the child an order; one that is dead does not mind."""
        if self._frames is not None:
            self._frames.send(dict(message))

    def retire(self, reason: str, *, abandon_at: float, kill_at: float) -> None:
        """Have it finish: no new jobs; what runs is released at one instant, killed at another."""
        self.retiring = self.retiring or reason
        self.abandon_at = min(self.abandon_at, abandon_at)
        self.kill_at = min(self.kill_at, kill_at)
        if self.serving:
            self.tell({"say": "drain"})
        else:
            self.kill(reason)

    def kill(self, reason: str) -> None:
        """End it now, with everything below it."""
        self.retiring = self.retiring or reason
        if self._process.poll() is None:
            kill_tree(self.pid, patience=1.0)

    def press(self, at: float) -> None:
        """Carry out what `retire` promised for the instants that have passed."""
        if at >= self.kill_at:
            self.kill(self.retiring or "it did not end in time")
        elif at >= self.abandon_at:
            self.abandon_at = float("inf")
            self.tell({"say": "abandon", "reason": self.retiring})

    @property
    def resident_mib(self) -> float:
        """Its resident memory."""
        return resident_mib(self.pid)

    async def end(self) -> Death:
        """Wait for its end, see that nothing of its tree is left, and say how it was."""
        await self._exited
        code = self._process.wait()
        await asyncio.to_thread(kill_marked, CHILD_MARK, self.mark)
        if self._frames is not None:
            self._frames.close()
        return Death(
            exit_code=code if code >= 0 else None,
            exit_signal=signal_name(-code) if code < 0 else None,
            planned=self.retiring or ("it ended in order" if code == 0 else None),
        )


def reap_strangers(known: set[int]) -> None:
    """Reap what was orphaned below us and has ended; children we know are left to their keeper."""
    while True:
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if found is None or found.si_pid in known:
            return
        os.waitpid(found.si_pid, 0)
