"""One child process, as its supervisor sees it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from workhorse.domain.errors import ConfigurationError
from workhorse.engine.autopsy import Death
from workhorse.engine.board import NEVER, Board
from workhorse.engine.clock import now
from workhorse.engine.command import command
from workhorse.engine.config import WorkerConfig
from workhorse.engine.exits import exit_of, insist, signal_name
from workhorse.engine.frames import AsyncFrames, Message
from workhorse.engine.loading import IMPORT_PATIENCE
from workhorse.engine.proctree import (
    CHILD_MARK,
    TREE_MARK,
    Family,
    kill_family,
    kill_tree,
    resident_mib,
)

LAST_WORDS: Final = 1.0
"""Seconds in which what a process said before its death is still listened to."""


class ChildProcess:
    """A child from its start until nothing of its tree is left."""

    def __init__(self, number: int, config: WorkerConfig, tree: str, *, solo: bool) -> None:
        """Start the process; `number` is never given to another child of this worker.

        Raises `OSError`, and leaves nothing open or running then.
        """
        self.number = number
        self.solo = solo
        self.started = now()
        self.board = Board.create(1 if solo else config.concurrency)
        self.mark = f"{tree}/{number}"
        self.finished = 0
        self.idle = False
        self.empty = False
        self.serving = False
        """Whether it was told to claim jobs."""
        self.hello: Message | None = None
        self.trouble: ConfigurationError | None = None
        self.withheld = 0
        """How many of its slots it was told to leave free."""
        self._turned_at = -1.0
        self._seen_so = 0
        self.retiring: str | None = None
        """Why its end is wanted, once it is."""
        self.kill_at = NEVER
        self.abandon_at = NEVER
        self._abandoned = False
        self._killing: asyncio.Task[None] | None = None
        with contextlib.ExitStack() as opened:
            opened.callback(self.board.close)
            self._socket, theirs = socket.socketpair()
            opened.enter_context(self._socket)
            with theirs:
                fds = (theirs.fileno(), self.board.fd)
                self._process = subprocess.Popen(
                    command("child", *fds, os.getpid(), config.to_json(), self.board.slots),
                    pass_fds=fds,
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,
                    env={**os.environ, TREE_MARK: tree, CHILD_MARK: self.mark},
                )
            opened.enter_context(self._process)
            opened.callback(self._process.kill)
            self.pid = self._process.pid
            self._exited = exit_of(self.pid)
            opened.pop_all()
        self._frames: AsyncFrames | None = None

    async def open(self) -> bool:
        """Hear what the child says of the app, as `hello`. False when it cannot be imported.

        `trouble` then says why, unless the child died without a word.
        """
        self._frames = await AsyncFrames.over(self._socket)
        try:
            async with asyncio.timeout(IMPORT_PATIENCE):
                said = await self.receive()
        except TimeoutError:
            self.trouble = ConfigurationError(
                f"A child has not imported the app within {IMPORT_PATIENCE:g} s."
            )
            self.kill(self.trouble.message)
            return False
        if said is not None and said["say"] == "import_error":
            self.trouble = ConfigurationError(said["message"], hint=said["hint"])
        elif said is not None:
            self.hello = said
        return self.hello is not None

    async def receive(self) -> Message | None:
        """Return the child's next message, or None when it has ended."""
        assert self._frames is not None
        reading = asyncio.ensure_future(self._frames.receive())
        either: set[asyncio.Future[Any]] = {reading, self._exited}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not reading.done():
            await self._end_family()  # which may hold the other end of the socket
            await asyncio.wait({reading}, timeout=LAST_WORDS)
        if reading.done():
            return reading.result()
        reading.cancel()
        return None

    def start(self, worker: int, lock_fd: int, *, withheld: int) -> None:
        """Let it claim jobs as part of `worker`, whose locked file it holds from now on.

        `withheld` is as in `withhold`.
        """
        self.withheld = withheld
        order = {
            "worker": worker,
            "child": self.number,
            "solo": self.solo,
            "withheld": withheld,
        }
        body = json.dumps(order).encode()
        fds = [lock_fd] if lock_fd >= 0 else [self.board.fd]
        self.serving = True
        with contextlib.suppress(OSError):  # one that has just died is heard of by `receive`
            socket.send_fds(self._socket, [len(body).to_bytes(4, "little") + body], fds)

    def tell(self, message: Mapping[str, Any]) -> None:
        """Send the child an order; one that is dead does not mind, nor one not serving yet."""
        if self._frames is not None and self.serving:
            self._frames.send(dict(message))

    def wake(self) -> None:
        """Have it look for jobs now, if it is not about to do so anyway."""
        if self._frames is not None and self.serving:
            self._frames.hint({"say": "wake"})

    def withhold(self, slots: int) -> None:
        """Have it leave so many slots free."""
        if slots != self.withheld:
            self.withheld = slots
            self.tell({"say": "withhold", "slots": slots})

    def retire(self, reason: str, *, abandon_at: float, kill_at: float) -> None:
        """Have it finish: no new jobs; what runs is released at one instant, killed at another."""
        self.abandon_at = min(self.abandon_at, abandon_at)
        self.kill_at = min(self.kill_at, kill_at)
        if not self.serving:
            self.kill(reason)
        elif self.retiring is None:
            self.retiring = reason
            self.tell({"say": "drain"})

    def kill(self, reason: str) -> None:
        """End it now, with everything below it."""
        self.retiring = self.retiring or reason
        if not self._exited.done() and (self._killing is None or self._killing.done()):
            ending = insist(partial(kill_tree, self.pid, patience=1.0))
            self._killing = asyncio.get_running_loop().create_task(ending)

    def press(self, at: float) -> None:
        """Carry out what `retire` promised for the instants that have passed."""
        if at >= self.kill_at:
            self.kill(self.retiring or "it did not end in time")
        elif at >= self.abandon_at and not self._abandoned:
            self._abandoned = True
            self.tell({"say": "abandon", "reason": self.retiring})

    def looks_unturned(self) -> int:
        """Look whether its loop has turned; return in how many looks in a row it had not.

        Looks are counted, not seconds: a machine that was suspended has stopped who looks, too.
        """
        turned_at = self.board.turned_at
        self._seen_so = self._seen_so + 1 if turned_at == self._turned_at else 0
        self._turned_at = turned_at
        return self._seen_so

    @property
    def resident_mib(self) -> float:
        """Its resident memory."""
        return resident_mib(self.pid)

    async def gone(self) -> None:
        """Wait for its end, and see that nothing of its tree is left."""
        await self._exited
        if self._killing is not None:
            await self._killing
        await self._end_family()

    async def _end_family(self) -> None:
        """Kill what a dead child leaves: before it is reaped, while its number is nobody else's."""
        family = Family(f"{CHILD_MARK}={self.mark}", frozenset({self.pid}))
        await insist(partial(kill_family, family))

    def reap(self) -> Death:
        """Say how it ended. To be called when it is `gone`."""
        code = self._process.wait()
        if self._frames is not None:
            self._frames.close()
        return Death(
            exit_code=code if code >= 0 else None,
            exit_signal=signal_name(-code) if code < 0 else None,
            planned=self.retiring,
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
