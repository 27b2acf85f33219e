"""``run="process"`` handlers: a process of their own, ended with all it started."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import uuid
from functools import partial
from typing import IO, TYPE_CHECKING, Any, Final

from workhorse.codec import clean_text
from workhorse.domain.events import Output
from workhorse.domain.outcome import AttemptOutcome, Crashed, Failed, Failure
from workhorse.engine.exits import exit_of, signal_name
from workhorse.engine.frames import AsyncFrames
from workhorse.engine.proctree import RUNNER_MARK, descendants, kill_marked, kill_tree
from workhorse.engine.runner import pack_job, unpack_outcome

if TYPE_CHECKING:
    from workhorse.engine.executors.base import Home, Run

IDLE_SECONDS: Final = 30.0
"""A process that has run nothing for so long is let go."""
LINE_LIMIT: Final = 16 << 10


class ProcessExecutor:
    """Runs each attempt in a process that runs nothing else meanwhile.

    A process is used again after an attempt that ended in order and left nothing behind; after
    any other it is killed with its whole tree. Its standard output and error become log lines.
    """

    apart = True

    def __init__(
        self, home: Home, app: str, *, cancel_grace: float, keep_fds: tuple[int, ...]
    ) -> None:
        """Serve `home`; every process inherits `keep_fds` and has `cancel_grace` s to end."""
        self._home = home
        self._app = app
        self._grace = cancel_grace
        self._keep_fds = keep_fds
        self._idle: list[_Runner] = []
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, run: Run) -> None:
        """Begin the attempt in an idle process, or in a new one."""
        run.handle = asyncio.Event()
        task = asyncio.get_running_loop().create_task(self._perform(run))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def stop(self, run: Run) -> None:
        """Ask with SIGTERM; after the grace the whole tree is killed."""
        run.handle.set()

    async def _perform(self, run: Run) -> None:
        runner: _Runner | None = None
        stop: asyncio.Event = run.handle
        try:
            runner = self._idle.pop() if self._idle else await self._spawn()
            outcome = await self._drive(runner, run, stop)
        except Exception as error:  # noqa: BLE001 - a process that cannot start fails its attempt
            outcome = Failed(Failure("ProcessFailed", clean_text(str(error), 2000)))
        if runner is not None:
            await self._put_back(runner)
        self._home.finish(run, run.stop or outcome)

    async def _spawn(self) -> _Runner:
        runner = _Runner(self._app, self._keep_fds)
        await runner.begin()
        return runner

    async def _drive(self, runner: _Runner, run: Run, stop: asyncio.Event) -> AttemptOutcome:
        emit = partial(self._home.output.emit, run.job.id, run.job.attempt)
        work = asyncio.ensure_future(runner.perform(run, emit))
        stopped = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                runner.spoilt = True
                runner.signal(signal.SIGTERM)
                await asyncio.wait({work}, timeout=self._grace)
            if not work.done():
                await runner.end()
            return await work
        finally:
            stopped.cancel()

    async def _put_back(self, runner: _Runner) -> None:
        if runner.spoilt or len(await asyncio.to_thread(descendants, runner.pid)) > 0:
            await runner.end()
            return
        self._idle.append(runner)
        asyncio.get_running_loop().call_later(IDLE_SECONDS, self._let_go, runner, runner.served)

    def _let_go(self, runner: _Runner, served: int) -> None:
        if runner in self._idle and runner.served == served:
            self._idle.remove(runner)
            task = asyncio.get_running_loop().create_task(runner.end())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End the idle processes."""
        idle, self._idle = self._idle, []
        for runner in idle:
            await runner.end()


class _Runner:
    """One process, from its start until nothing of its tree is left."""

    def __init__(self, app: str, keep_fds: tuple[int, ...]) -> None:
        self._mark = uuid.uuid4().hex
        ours, theirs = socket.socketpair()
        fd = theirs.fileno()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "workhorse.engine.runner", str(fd), str(os.getpid()), app],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(fd, *keep_fds),
            start_new_session=True,
            env={**os.environ, RUNNER_MARK: self._mark},
        )
        theirs.close()
        self._socket = ours
        self._frames: AsyncFrames
        self._exit = exit_of(self._process.pid)
        self._emit: Any = None
        self._pipes = [
            _Lines(self._process.stdout, partial(self._said, "stdout")),
            _Lines(self._process.stderr, partial(self._said, "stderr")),
        ]
        self._ended = False
        self.pid = self._process.pid
        self.spoilt = False
        self.served = 0

    async def begin(self) -> None:
        """Wait until the app is imported there; raise `RuntimeError` with its last words."""
        heard: list[str] = []
        self._emit = lambda _name, data: heard.append(json.loads(data)["message"])
        self._frames = await AsyncFrames.over(self._socket)
        if await self._next() is None:
            self.spoilt = True
            await self.end()
            raise RuntimeError("A process for the job could not start: " + "\n".join(heard[-20:]))

    async def perform(self, run: Run, emit: Any) -> AttemptOutcome:
        """Run one attempt there; a death of the process is an outcome too."""
        self.served += 1
        self._emit = emit
        self._frames.send(pack_job(run.job))
        while (message := await self._next()) is not None:
            if "outcome" in message:
                for pipe in self._pipes:
                    pipe.drain()
                return unpack_outcome(message["outcome"])
            emit(Output(message["output"]), message["data"])
        self.spoilt = True
        code = await self.end()
        if code < 0:
            return Crashed(exit_signal=signal_name(-code))
        return Crashed(exit_code=code)

    async def _next(self) -> dict[str, Any] | None:
        """Return the next message; None when the process is gone."""
        reading = asyncio.ensure_future(self._frames.receive())
        either: set[asyncio.Future[Any]] = {reading, self._exit}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not reading.done():
            await asyncio.wait({reading}, timeout=0.05)
        if reading.done():
            return reading.result()
        reading.cancel()
        return None

    def _said(self, stream: str, line: str) -> None:
        if self._emit is not None and line:
            self._emit(Output.LOG, json.dumps({"message": line, "stream": stream}))

    def signal(self, number: int) -> None:
        """Send a signal to the process itself."""
        if self._process.poll() is None:
            self._process.send_signal(number)

    async def end(self) -> int:
        """Kill the whole tree, and return the exit status of the process (as `Popen` does)."""
        if not self._ended:
            self._ended = True
            await asyncio.to_thread(self._kill)
            for pipe in self._pipes:
                pipe.close()
            self._frames.close() if hasattr(self, "_frames") else self._socket.close()
        return self._process.wait()

    def _kill(self) -> None:
        if self._process.poll() is None:
            kill_tree(self._process.pid)
        kill_marked(RUNNER_MARK, self._mark, spare=[self._process.pid])


class _Lines:
    """The lines of a pipe, as they come; a line is cut at `LINE_LIMIT` bytes."""

    def __init__(self, pipe: IO[bytes] | None, say: Any) -> None:
        assert pipe is not None
        self._pipe = pipe
        self._say = say
        self._rest = b""
        self._loop = asyncio.get_running_loop()
        os.set_blocking(pipe.fileno(), False)
        self._loop.add_reader(pipe.fileno(), self.drain)

    def drain(self) -> None:
        while not self._pipe.closed:
            try:
                part = os.read(self._pipe.fileno(), 1 << 16)
            except BlockingIOError:
                return
            if not part:
                self.close()
                return
            *lines, self._rest = (self._rest + part).split(b"\n")
            if len(self._rest) > LINE_LIMIT:
                lines.append(self._rest)
                self._rest = b""
            for line in lines:
                self._say(clean_text(line.decode("utf-8", "replace"), LINE_LIMIT))

    def close(self) -> None:
        if not self._pipe.closed:
            self._loop.remove_reader(self._pipe.fileno())
            self._pipe.close()
            if self._rest:
                self._say(clean_text(self._rest.decode("utf-8", "replace"), LINE_LIMIT))
                self._rest = b""
