"""Kinds that do to the process they share with others what they should not."""

from __future__ import annotations

import asyncio
import io
import os
import sys
from pathlib import Path

from workhorse import Workhorse

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
