"""Kinds that do to the process they share with others what they should not."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import sys
import time
from pathlib import Path

from workhorse import Retry, Workhorse

app = Workhorse()


@app.job
async def polite() -> str:
    return str(Path.cwd())


@app.job(run="process")
def polite_process() -> list[str]:
    polite.enqueue()
    return [str(Path.cwd()), os.environ.get("LEFT_BY", "nobody")]


@app.job(retry=1)
async def leave(how: str) -> str:
    """End the process, or the loop, from where no handler is on the stack."""

    async def step() -> None:
        if how == "interrupt":
            raise KeyboardInterrupt
        sys.exit(7)

    match how:
        case "gather" | "interrupt":
            await asyncio.gather(step())
        case "group":
            async with asyncio.TaskGroup() as group:
                group.create_task(step())
        case "wait_for":
            await asyncio.wait_for(step(), 60)
        case "callback":
            asyncio.get_running_loop().call_soon(sys.exit, 7)
            await asyncio.sleep(0.1)
        case "stop":
            asyncio.get_running_loop().stop()
            await asyncio.sleep(0.1)
    return how


@app.job
async def close() -> int:
    """Close the app, as a script would, and use it again."""
    with app:
        polite.enqueue()
    return polite.enqueue().id


@app.job
def close_thread() -> int:
    with app:
        polite.enqueue()
    return polite.enqueue().id


@app.job
def wander() -> None:
    os.chdir("/")
    os.environ["LEFT_BY"] = "wander"


@app.job(retry=1)
def mute(how: str) -> None:
    """Let go of standard output and error in a way that scripts have."""
    match how:
        case "close":
            sys.stdout.close()
            sys.stderr.close()
        case "wrap":
            for _ in range(2):  # each time the former wrapper closes what it has wrapped
                sys.stderr = io.TextIOWrapper(sys.stderr.buffer, encoding="utf-8")
        case "detach":
            sys.stderr.detach()  # type: ignore[union-attr]
        case "descriptors":
            os.close(1)
            os.close(2)


@app.job(retry=1)
def chatty() -> None:
    print("out", flush=True)
    print("err", file=sys.stderr, flush=True)


@app.job(retry=Retry(max_attempts=2, base=0.1, jitter=0))
async def cancel_all(*, spare_itself: bool = False) -> None:
    """Shut down, as a program does whose loop this is."""
    mine = asyncio.current_task()
    for task in asyncio.all_tasks():
        if not (spare_itself and task is mine):
            task.cancel()
    asyncio.get_running_loop().create_task(beside()).cancel()
    await asyncio.sleep(0.1)


@app.job(retry=Retry(max_attempts=2, base=0.1, jitter=0))
async def break_loop() -> None:
    """Have the loop meet an error that is nobody's."""
    asyncio.get_running_loop()._selector.close()  # type: ignore[attr-defined]
    await asyncio.sleep(60)


@app.job(run="process", retry=Retry(max_attempts=5, base=0.1, jitter=0))
def kill_parent() -> None:
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)


async def beside() -> None:
    pass


@app.job(retry=Retry(max_attempts=5, base=0.1, jitter=0))
async def wait_for(path: str) -> str:
    """Be there until a file is."""
    while not is_there(path):  # noqa: ASYNC110 - another process makes it
        await asyncio.sleep(0.01)
    return path


def is_there(path: str) -> bool:
    return Path(path).exists()


def wait_here_for(path: str) -> str:
    while not is_there(path):
        time.sleep(0.01)
    return path


wait_for_thread = app.job(name="wait_for_thread", retry=1)(wait_here_for)
wait_for_process = app.job(name="wait_for_process", run="process", retry=1)(wait_here_for)


@app.job
async def wait_for_all() -> int:
    """Wait for whatever else runs on this loop."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*others)
    return len(others)
