"""A worker's child process: imports the app, then claims and runs jobs until told to stop.

Run as ``python -m workhorse.engine.child CONTROL_FD BOARD_FD PARENT_PID CONFIG SLOTS``. The
control socket carries: ``hello`` or ``import_error`` up; ``start`` (with the worker's locked
file), ``wake``, ``pace``, ``withhold``, ``drain`` and ``abandon`` down; ``report``, ``scheduled``,
``condemned``, ``lease_lost`` and ``done`` up. The child dies with its supervisor.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from workhorse.domain.errors import WorkhorseError
from workhorse.engine.board import Board
from workhorse.engine.config import WorkerConfig
from workhorse.engine.forks import FORKS, end_at_once
from workhorse.engine.frames import AsyncFrames, BlockingFrames, Message
from workhorse.engine.loops import end_tasks, hidden_task, hide_current, run_to_the_end
from workhorse.engine.proctree import die_with_parent, prefer_for_oom
from workhorse.engine.signals import leave_to_supervisor
from workhorse.engine.streams import forgive, tell_of_dropped
from workhorse.logs import log

EXIT_COLLAPSE: Final = 1
EXIT_IMPORT: Final = 3
SWITCH_INTERVAL: Final = 0.0005
"""The store's thread needs the interpreter briefly and often: do not let it wait 5 ms each time."""


@dataclass(frozen=True, slots=True)
class _Start:
    """What the supervisor sends once it knows the store."""

    worker: int
    child: int
    solo: bool
    withheld: int
    lock_fd: int


def main(arguments: list[str]) -> int:
    """Import the app, wait for the start, work, and leave nothing running."""
    control_fd, board_fd, parent = (int(a) for a in arguments[:3])
    config = WorkerConfig.from_json(arguments[3])
    slots = int(arguments[4])
    leave_to_supervisor()
    die_with_parent(parent)
    prefer_for_oom()
    log_to = forgive()

    from workhorse.engine.loading import load_app  # noqa: PLC0415 - after the guards are up
    from workhorse.logs import configure  # noqa: PLC0415

    FORKS.watch()
    configure(config.log_level, config.log_format, log_to)
    control = socket.socket(fileno=control_fd)
    control.set_inheritable(False)
    frames = BlockingFrames(control)
    try:
        app = load_app(config.app)
    except WorkhorseError as error:
        frames.send({"say": "import_error", "message": error.message, "hint": error.hint})
        return EXIT_IMPORT
    frames.send({"say": "hello", "url": app.url, "kinds": sorted(app.specs), "inline": app.inline})
    start = _receive_start(control)
    if start is None:
        return 0
    board = Board(board_fd, slots)
    sys.setswitchinterval(SWITCH_INTERVAL)
    gc.collect()
    gc.freeze()  # what the app's import has made stays: looking through it again takes 20 ms
    with contextlib.ExitStack() as stack:
        try:
            store = stack.enter_context(app.lend())
        except WorkhorseError as error:  # no crash
            log.error("the store cannot be opened", error=str(error))
            return error.exit_code
        run_to_the_end(
            _serve(app, store, config, board, start, control=control),
            new_loop=_new_loop,
            before_cleanup=_collapse(),
        )
    return 0


@contextlib.contextmanager
def _collapse() -> Iterator[None]:
    """End this process at once after an exception that nobody expected.

    What runs in it stays on the board: by that the supervisor tells the guilty from the innocent.
    If it ended in order, none would be there any more.
    """
    try:
        yield
    except BaseException:  # noqa: BLE001 - whatever it is
        log.exception("a child cannot go on")
        end_at_once(EXIT_COLLAPSE)


def _receive_start(control: socket.socket) -> _Start | None:
    """Return the start, and leave in the socket what follows it; None when none will come."""
    head, fds, _, _ = socket.recv_fds(control, 4, 4, socket.MSG_WAITALL)
    size = int.from_bytes(head, "little")
    body = control.recv(size, socket.MSG_WAITALL) if size else b""
    if not fds or len(body) < size:
        return None
    message: Message = json.loads(body)
    return _Start(**message, lock_fd=fds[0])


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop  # noqa: PLC0415 - an extra
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


async def _serve(
    app: Any,
    store: Any,
    config: WorkerConfig,
    board: Board,
    start: _Start,
    *,
    control: socket.socket,
) -> None:
    from workhorse.engine.child_loop import ChildLoop  # noqa: PLC0415
    from workhorse.engine.wake import Sleeper, Wake  # noqa: PLC0415

    hide_current()
    loop = asyncio.get_running_loop()
    FORKS.keep_to_parent(loop)
    jobs = ChildLoop(
        store,
        app.specs,
        config,
        board,
        worker=start.worker,
        child=start.child,
        solo=start.solo,
        withheld=start.withheld,
        keep_fds=(start.lock_fd,),
    )
    control.setblocking(False)  # noqa: FBT003 - the only way to say it
    frames = await AsyncFrames.over(control)
    jobs.on_condemned = lambda: frames.send({"say": "condemned"})
    jobs.on_lease_lost = lambda: frames.send({"say": "lease_lost"})
    jobs.on_scheduled = lambda delay: frames.send({"say": "scheduled", "delay": delay})
    jobs.on_freed = Wake(store.run_dir).ring
    sleeper = _sleeper(store.run_dir, start, Sleeper)
    if sleeper is not None:
        loop.add_reader(sleeper.socket, sleeper.drain, jobs.wake)
    orders = hidden_task(_obey(frames, jobs))
    reports = hidden_task(_report(frames, jobs, config))
    await jobs.run()
    frames.send({"say": "done"})
    if jobs.running:
        end_at_once(0)  # what would not end when told to must not hold the process
    await end_tasks(orders, reports)
    if sleeper is not None:
        loop.remove_reader(sleeper.socket)
        sleeper.close()


def _sleeper(run_dir: Path | None, start: _Start, make: Any) -> Any:
    if run_dir is None:
        return None
    with contextlib.suppress(OSError):
        return make(run_dir, f"{start.worker}-{start.child}")
    return None


async def _obey(frames: AsyncFrames, jobs: Any) -> None:
    """Do what the supervisor says; when it is gone, so is this process."""
    while (message := await frames.receive()) is not None:
        match message["say"]:
            case "drain":
                jobs.drain()
            case "abandon":
                jobs.abandon(message["reason"])
            case "wake":
                jobs.wake()
            case "withhold":
                jobs.withhold(message["slots"])
            case "pace":
                jobs.least_poll = message["poll"]
    end_at_once(1)


async def _report(frames: AsyncFrames, jobs: Any, config: WorkerConfig) -> None:
    """Tell the supervisor, twice a second, how much was done and whether nothing is left."""
    told: Any = None
    while True:
        tell_of_dropped()
        now_told = (jobs.finished, jobs.idle, jobs.burst_done)
        if now_told != told:
            told = now_told
            frames.send(
                {
                    "say": "report",
                    "finished": jobs.finished,
                    "idle": jobs.idle,
                    "empty": jobs.burst_done,
                }
            )
        await asyncio.sleep(0.05 if config.burst or jobs.solo else 0.5)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
