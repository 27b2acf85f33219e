"""``run="process"`` handlers: a process of their own, ended with all it started."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from math import inf
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from workhorse.domain.events import Output
from workhorse.domain.outcome import AttemptOutcome, Crashed, Failed, Failure, Released
from workhorse.engine.command import command
from workhorse.engine.exits import exit_of, insist, signal_name
from workhorse.engine.frames import AsyncFrames
from workhorse.engine.loading import IMPORT_PATIENCE
from workhorse.engine.loops import hidden_task
from workhorse.engine.proctree import (
    RUNNER_MARK,
    Family,
    descendants,
    kill_family,
    kill_tree,
    resident_mib,
)
from workhorse.engine.runner import pack_job, unpack_outcome
from workhorse.engine.streams import hold_standard
from workhorse.text import clean_text

if TYPE_CHECKING:
    from workhorse.engine.executors.base import Home, Run

IDLE_SECONDS: Final = 30.0
"""A process that has run nothing for so long is let go."""
LINE_LIMIT: Final = 16 << 10
CHUNK: Final = 8 << 10
"""Bytes of output read at a time: a process that floods its pipe must not hold up the loop."""
LAST_CHUNKS: Final = 16
"""Most chunks read at the end of an attempt: twice what a pipe holds."""


class ProcessExecutor:
    """Runs each attempt in a process that runs nothing else meanwhile.

    A process is used again after an attempt that ended in order, left nothing behind and has not
    made it too large; after any other it is killed with its whole tree. Its standard output and
    error become log lines.
    """

    apart = True

    def __init__(
        self,
        home: Home,
        app: str,
        *,
        folder: str | None,
        cancel_grace: float,
        max_memory_mib: int | None,
        keep_fds: tuple[int, ...],
    ) -> None:
        """Serve `home`; every process inherits `keep_fds` and has `cancel_grace` s to end.

        Each begins in `folder`, with the environment as it is now: what handlers do to those of
        this process is none of theirs. One that holds more than `max_memory_mib` after an attempt
        is not used again.
        """
        self._home = home
        self._origin = _Origin(app, folder, dict(os.environ), keep_fds)
        self._grace = cancel_grace
        self._max_memory_mib = inf if max_memory_mib is None else max_memory_mib
        self._idle: list[_Runner] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        # Not the loop's own pool: handlers use that, and may fill it with what never ends.
        self._threads = ThreadPoolExecutor(8, thread_name_prefix="workhorse-processes")

    def start(self, run: Run) -> None:
        """Begin the attempt in an idle process, or in a new one."""
        run.handle = asyncio.Event()
        self._home.give_time(run, ahead=_import_patience(run.job.timeout))
        self._keep(self._perform(run))

    def stop(self, run: Run) -> None:
        """Ask with SIGTERM; after the grace the whole tree is killed."""
        run.handle.set()

    def _keep(self, work: Any) -> None:
        task = hidden_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _perform(self, run: Run) -> None:
        runner: _Runner | None = None
        try:
            runner = self._runner()
            outcome = await self._drive(runner, run)
        except Exception as error:  # noqa: BLE001 - a process that cannot start fails its attempt
            outcome = Failed(Failure("ProcessFailed", clean_text(str(error), 2000)))
            if runner is not None:
                runner.spoilt = True
        if runner is not None:
            await self._put_back(runner)
        self._home.finish(run, run.stop or outcome)

    def _runner(self) -> _Runner:
        """Return an idle process that is still alive, or a new one."""
        while self._idle:
            runner = self._idle.pop()
            if runner.is_alive:
                return runner
            self._keep(runner.end())
        return _Runner(self._origin, self._threads)

    async def _drive(self, runner: _Runner, run: Run) -> AttemptOutcome:
        """Have `runner` run the attempt, and end it when the attempt is told to end."""
        work = hidden_task(runner.perform(run, self._home))
        stopped = hidden_task(run.handle.wait())
        try:
            await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                runner.spoilt = True
                runner.tell_to_end()
                await asyncio.wait({work}, timeout=self._grace)
            if not work.done():
                await runner.end()
            return await work
        finally:
            stopped.cancel()

    async def _put_back(self, runner: _Runner) -> None:
        """Keep a process for the next attempt, if this one left nothing in it or below it."""
        if runner.spoilt or not await self._is_as_before(runner):
            await runner.end()
            return
        self._idle.append(runner)
        loop = asyncio.get_running_loop()
        loop.call_later(IDLE_SECONDS, self._let_go, runner, runner.served)

    async def _is_as_before(self, runner: _Runner) -> bool:
        """Whether a process is not too large, and nothing is left below it, as far as is seen."""
        if resident_mib(runner.pid) > self._max_memory_mib:
            return False
        loop = asyncio.get_running_loop()
        try:
            return not await loop.run_in_executor(self._threads, descendants, runner.pid)
        except (OSError, RuntimeError):  # no descriptor or no thread to look with
            return False

    def _let_go(self, runner: _Runner, served: int) -> None:
        if runner in self._idle and runner.served == served:
            self._idle.remove(runner)
            self._keep(runner.end())

    async def close(self) -> None:
        """End the idle processes."""
        idle, self._idle = self._idle, []
        for runner in idle:
            await runner.end()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._threads.shutdown(wait=False)


class _Origin(NamedTuple):
    """What a process begins with."""

    app: str
    folder: str | None
    environment: Mapping[str, str]
    keep_fds: tuple[int, ...]


_Listener: TypeAlias = "Callable[[list[bytes], Callable[[bytes], str]], None]"
"""Who is told what a process prints: one attempt's output, or whoever waits for its start."""


class _Runner:
    """One process, from its start until nothing of its tree is left."""

    def __init__(self, origin: _Origin, threads: ThreadPoolExecutor) -> None:
        self._threads = threads
        self._mark = uuid.uuid4().hex
        hold_standard()
        with contextlib.ExitStack() as opened:
            self._socket, theirs = socket.socketpair()
            opened.enter_context(self._socket)
            with theirs:
                fd = theirs.fileno()
                self._process = subprocess.Popen(
                    command("runner", fd, os.getpid(), origin.app),
                    cwd=origin.folder,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    pass_fds=(fd, *origin.keep_fds),
                    # A group of its own, but the child's session: by that the supervisor finds
                    # what is left of it when both have been killed.
                    process_group=0,
                    env={**origin.environment, RUNNER_MARK: self._mark},
                )
            opened.enter_context(self._process)
            opened.callback(self._process.kill)
            self._exit = exit_of(self._process.pid)
            opened.pop_all()
        self._frames: AsyncFrames | None = None
        self._ending: asyncio.Task[int] | None = None
        self._hears: _Listener | None = None
        self._pipes = [
            _Lines(self._process.stdout, partial(self._said, "stdout")),
            _Lines(self._process.stderr, partial(self._said, "stderr")),
        ]
        self.pid = self._process.pid
        self.spoilt = False
        """Whether it must not be used again."""
        self.served = 0

    @property
    def is_alive(self) -> bool:
        """Whether its process has not ended."""
        return not self._exit.done()

    async def perform(self, run: Run, home: Home) -> AttemptOutcome:
        """Run one attempt there; a death of the process is an outcome too.

        Raises `RuntimeError` with its last words when it cannot import the app. The time limit
        begins after that: a handler that needs less is not ended for what is none of its doing,
        again and again.
        """
        frames = self._frames or await self._begin(_import_patience(run.job.timeout))
        if run.stop is not None:
            return Released("it was told to end before it had started")
        home.give_time(run)
        self.served += 1
        job = run.job
        self._hears = partial(home.output.emit_lines, job.id, job.attempt)
        frames.send(pack_job(run.job))
        begun = False
        while (message := await self._next(frames)) is not None:
            if "outcome" in message:
                self._hear_out()
                self.spoilt |= message["spoilt"]
                return unpack_outcome(message["outcome"])
            if "output" in message:
                job_id, attempt = message["of"]
                home.output.emit(job_id, attempt, Output(message["output"]), message["data"])
            begun |= "begun" in message
        self.spoilt = True
        code = await self.end()
        if not begun:
            return Released("its process was gone before the job had started")
        if code < 0:
            return Crashed(exit_signal=signal_name(-code))
        return Crashed(exit_code=code)

    async def _begin(self, patience: float) -> AsyncFrames:
        """Wait until the app is imported there, at most so many seconds."""
        heard: list[str] = []

        def remember(lines: list[bytes], _: Callable[[bytes], str]) -> None:
            heard.extend(line.decode("utf-8", "replace") for line in lines)

        self._hears = remember
        self._frames = await AsyncFrames.over(self._socket)
        trouble = None
        try:
            async with asyncio.timeout(patience):
                if await self._next(self._frames) is None:
                    trouble = "could not start"
        except TimeoutError:
            trouble = f"had not imported the app within {patience:g} s"
        if trouble is not None:
            self.spoilt = True
            status = await self.end()
            said = "\n".join(heard[-20:]) or f"it said nothing, and its exit status was {status}"
            raise RuntimeError(f"A process for the job {trouble}: {said}")
        self._hear_out()
        return self._frames

    async def _next(self, frames: AsyncFrames) -> dict[str, Any] | None:
        """Return the next message; None when the process is gone."""
        reading = hidden_task(frames.receive())
        either: set[asyncio.Future[Any]] = {reading, self._exit}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                await asyncio.wait({reading}, timeout=0.1)
            return reading.result() if reading.done() else None
        finally:
            reading.cancel()

    def _said(self, stream: str, lines: list[bytes]) -> None:
        if self._hears is not None:
            self._hears(lines, partial(_log_line, stream))

    def _hear_out(self) -> None:
        """The attempt is over: take what it wrote, and nothing that comes after."""
        for pipe in self._pipes:
            pipe.drain()
            pipe.end_line()
        self._hears = None

    def tell_to_end(self) -> None:
        """Have the attempt end, if it has begun: with a message, and the signal that shows it."""
        if self.is_alive and self._frames is not None:
            self._frames.send({"stop": True})
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)

    async def end(self) -> int:
        """Kill the whole tree, and return the exit status of the process (as `Popen` does).

        Whoever calls it, and however often: it returns when nothing is left.
        """
        if self._ending is None:
            self._ending = hidden_task(self._end())
        return await self._ending

    async def _end(self) -> int:
        await insist(self._kill, self._threads)
        await self._exit
        self._hear_out()
        for pipe in self._pipes:
            pipe.close()
        if self._frames is None:
            self._socket.close()
        else:
            self._frames.close()
        return self._process.wait()

    def _kill(self) -> None:
        """Kill the tree, and what a death nobody foresaw has orphaned; before it is reaped."""
        kill_tree(self.pid)
        kill_family(Family(f"{RUNNER_MARK}={self._mark}", groups=frozenset({self.pid})))


class _Lines:
    """The lines of a pipe, as they come; a line is cut at `LINE_LIMIT` bytes."""

    def __init__(self, pipe: IO[bytes] | None, say: Callable[[list[bytes]], None]) -> None:
        assert pipe is not None
        self._pipe = pipe
        self._say = say
        self._rest = b""
        self._loop = asyncio.get_running_loop()
        os.set_blocking(pipe.fileno(), False)
        self._loop.add_reader(pipe.fileno(), self._read)

    def drain(self) -> None:
        """Read what is there."""
        for _ in range(LAST_CHUNKS):
            if not self._read():
                break

    def end_line(self) -> None:
        """Take what was read for a whole line: whoever wrote it writes no more of it."""
        if self._rest:
            self._say([self._rest])
            self._rest = b""

    def _read(self) -> bool:
        """Read one chunk; False when there is none."""
        if self._pipe.closed:
            return False
        try:
            part = os.read(self._pipe.fileno(), CHUNK)
        except BlockingIOError:
            return False
        if not part:
            self.close()
            return False
        # A carriage return ends a line too: that is how a progress bar moves. With a line feed
        # after it comes an empty line, and those are not kept.
        *lines, self._rest = (self._rest + part.replace(b"\r", b"\n")).split(b"\n")
        if len(self._rest) > LINE_LIMIT:
            lines.append(self._rest)
            self._rest = b""
        self._say([line for line in lines if line])
        return True

    def close(self) -> None:
        if not self._pipe.closed:
            self._loop.remove_reader(self._pipe.fileno())
            self._pipe.close()
            self.end_line()


def _import_patience(timeout: float | None) -> float:
    """Return how long the import of the app may take: at least as long as the job itself."""
    return inf if timeout is None else max(IMPORT_PATIENCE, timeout)


def _log_line(stream: str, line: bytes) -> str:
    text = clean_text(line.decode("utf-8", "replace"), LINE_LIMIT)
    return json.dumps({"message": text, "stream": stream})
