"""A kind for every part there is to play. Each tells the ledger when it starts and ends."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from datetime import date
from typing import Any

from tests.scenarios.apps import telling
from tests.scenarios.ledger import tell
from workhorse import Context, Reject, Retry, Snooze, Workhorse

app = Workhorse()
SOON = Retry(max_attempts=5, base=0.05, factor=1, jitter=0)
ONCE = Retry(max_attempts=1)
PATIENT = Retry(max_attempts=1000, base=0.2, factor=1, jitter=0)
STRANGLER = "a" * 40 + "b"
GRANDCHILDREN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.closerange(0, 64)
        time.sleep(600)
    os._exit(0)
time.sleep(600)
"""


@app.job(retry=SOON)
async def quick(ctx: Context, value: Any = None) -> Any:
    telling.start(ctx)
    telling.end(ctx)
    return value


@app.job(run="thread", retry=SOON)
def quick_thread(ctx: Context, value: Any = None) -> Any:
    telling.start(ctx)
    telling.end(ctx)
    return value


@app.job(run="process", retry=SOON)
def quick_process(ctx: Context, value: Any = None) -> Any:
    telling.start(ctx)
    telling.end(ctx)
    return value


@app.job(retry=SOON)
async def nap(ctx: Context, seconds: float, again: float | None = None) -> int:
    """Sleep for `seconds`, in a later attempt `again` if that is given."""
    telling.start(ctx)
    await asyncio.sleep(seconds if again is None or ctx.attempt == 1 else again)
    telling.end(ctx)
    return ctx.attempt


@app.job(run="thread", retry=SOON)
def nap_thread(ctx: Context, seconds: float) -> int:
    telling.start(ctx)
    time.sleep(seconds)
    telling.end(ctx)
    return ctx.attempt


@app.job(run="process", retry=SOON)
def nap_process(ctx: Context, seconds: float) -> int:
    telling.start(ctx)
    time.sleep(seconds)
    telling.end(ctx)
    return ctx.attempt


@app.job(retry=PATIENT)
async def book(ctx: Context, room: str, beds: int = 1) -> str:
    """Take one argument more than the version before."""
    telling.start(ctx)
    return f"{room} {beds}"


@app.job(retry=PATIENT)
async def book_day(ctx: Context, day: date, beds: int = 1) -> str:
    telling.start(ctx)
    return f"{day} {beds}"


@app.job(retry=ONCE)
async def chatty(ctx: Context) -> None:
    chat(ctx)


@app.job(run="thread", retry=ONCE)
def chatty_thread(ctx: Context) -> None:
    chat(ctx)


@app.job(run="process", retry=ONCE)
def chatty_process(ctx: Context) -> None:
    chat(ctx)


def chat(ctx: Context) -> None:
    """Print more than any buffer holds."""
    telling.start(ctx)
    for number in range(20_000):
        print("line", number)
    print("an end", file=sys.stderr, flush=True)


@app.job(retry=ONCE)
async def stopper(ctx: Context) -> int:
    """Start a program, have it end by SIGTERM, and return what it ended with."""
    telling.start(ctx)
    program = await asyncio.create_subprocess_exec("sleep", "600")
    program.terminate()
    return await asyncio.wait_for(program.wait(), 10)


@app.job(run="thread", retry=ONCE)
def stopper_thread(ctx: Context) -> int:
    return stopped(ctx)


@app.job(run="process", retry=ONCE)
def stopper_process(ctx: Context) -> int:
    return stopped(ctx)


def stopped(ctx: Context) -> int:
    telling.start(ctx)
    with subprocess.Popen(["sleep", "600"]) as program:
        program.terminate()
        try:
            return program.wait(10)
        finally:
            program.kill()


@app.job(retry=ONCE)
async def pooler(ctx: Context) -> list[int]:
    """Let a pool of forked processes work, and end it."""
    return pooled(ctx)


@app.job(run="thread", retry=ONCE)
def pooler_thread(ctx: Context) -> list[int]:
    return pooled(ctx)


@app.job(run="process", retry=ONCE)
def pooler_process(ctx: Context) -> list[int]:
    return pooled(ctx)


def pooled(ctx: Context) -> list[int]:
    telling.start(ctx)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return pool.map(abs, range(-3, 0))


@app.job(retry=ONCE, timeout=20)
async def forker(ctx: Context, how: str) -> int:
    """Fork, have the fork leave the handler, and return what it ended with."""
    match how:
        case "wait":
            return await forked_to_wait()
        case "in a task":
            return await asyncio.create_task(forked_in_a_task(ctx))
        case _:
            return forked(ctx, how)


@app.job(run="thread", retry=ONCE, timeout=20)
def forker_thread(ctx: Context, how: str) -> int:
    return forked(ctx, how)


@app.job(run="process", retry=ONCE, timeout=20)
def forker_process(ctx: Context, how: str) -> int:
    return forked(ctx, how)


@app.job(run="process", retry=ONCE, timeout=20)
async def forker_async_process(ctx: Context, how: str) -> int:
    return await forked_to_wait() if how == "wait" else forked(ctx, how)


def forked(ctx: Context, how: str) -> int:
    if pid := os.fork():
        return status_of(pid)
    ctx.log("said by a fork")
    print("printed by a fork", end="")
    match how:
        case "raise":
            raise ValueError("raised in a fork")
        case "exit":
            sys.exit(3)
        case "exit with words":
            sys.exit("words of a fork")
    return -1


async def forked_in_a_task(ctx: Context) -> int:
    return forked(ctx, "exit")


async def forked_to_wait() -> int:
    """Fork beside a task that is always ready, and have the fork wait in its parent's loop."""
    home = os.getpid()

    async def beside() -> None:
        while True:
            if os.getpid() != home:
                tell("strayed")
            await asyncio.sleep(0)

    task = asyncio.create_task(beside())
    await asyncio.sleep(0)
    pid = os.fork()
    if pid == 0:
        await asyncio.sleep(0)
        tell("strayed")
        os._exit(0)
    task.cancel()
    return status_of(pid)


def status_of(pid: int) -> int:
    """Wait until a process has ended, and return its exit status."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@app.job(retry=ONCE)
async def strangle(ctx: Context) -> bool:
    """Hold the loop, and the interpreter's lock, until killed."""
    telling.start(ctx)
    return re.match("(a+)+$", STRANGLER) is not None


@app.job(run="thread", retry=ONCE)
def strangle_thread(ctx: Context) -> bool:
    """Hold the interpreter's lock until killed."""
    telling.start(ctx)
    return re.match("(a+)+$", STRANGLER) is not None


@app.job(run="process", timeout=2, retry=Retry(max_attempts=2, base=0, jitter=0))
def stubborn(ctx: Context) -> None:
    """Ignore SIGTERM, and have descendants that do, one of them in a session of its own."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    subprocess.Popen([sys.executable, "-c", GRANDCHILDREN])
    telling.start(ctx)
    while True:
        time.sleep(1)


@app.job(retry=SOON)
async def killer(ctx: Context, how: str) -> None:
    """Take the process it runs in down with it."""
    telling.start(ctx)
    die(how)


@app.job(run="thread", retry=SOON)
def killer_thread(ctx: Context, how: str) -> None:
    telling.start(ctx)
    die(how)


@app.job(run="process", retry=SOON)
def killer_process(ctx: Context, how: str) -> None:
    telling.start(ctx)
    die(how)


def die(how: str) -> None:
    """End this process at once."""
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "abort":
        os.abort()
    else:
        os._exit(7)


@app.job(retry=ONCE)
async def deaf(ctx: Context, seconds: float) -> None:
    """Swallow every cancellation for `seconds`."""
    telling.start(ctx)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            tell("swallowed", job=ctx.job_id, attempt=ctx.attempt)
    telling.end(ctx)


@app.job(run="thread", retry=SOON)
def polite(ctx: Context, seconds: float) -> None:
    """Look now and then whether it should stop, and do so."""
    telling.start(ctx)
    until = time.monotonic() + seconds
    while time.monotonic() < until and not ctx.cancelled:
        time.sleep(0.02)
    telling.end(ctx)


@app.job(retry=SOON)
async def tidy(ctx: Context, seconds: float) -> None:
    """Clean up when it is cancelled."""
    telling.start(ctx)
    try:
        await asyncio.sleep(seconds)
    finally:
        tell("tidied", job=ctx.job_id, attempt=ctx.attempt)


@app.job(retry=ONCE)
async def snoozer(ctx: Context, times: int) -> int:
    """Ask to be run later `times` times."""
    telling.start(ctx)
    if ctx.attempt <= times:
        raise Snooze(0.1, "not yet")
    telling.end(ctx)
    return ctx.attempt


@app.job(retry=SOON)
async def refuser(ctx: Context) -> None:
    """Say that it can never succeed."""
    telling.start(ctx)
    raise Reject("no such customer")


@app.job(retry=SOON)
async def stumbler(ctx: Context, times: int) -> int:
    """Fail `times` times, then succeed."""
    telling.start(ctx)
    if ctx.attempt <= times:
        telling.fail(ctx)
        raise ValueError(f"stumbled at attempt {ctx.attempt}")
    telling.end(ctx)
    return ctx.attempt


def report(ctx: Context, steps: int, pause: float) -> int:
    telling.start(ctx)
    for n in range(1, steps + 1):
        ctx.log(f"step {n}", n=n)
        ctx.progress(100 * n // steps, f"{n} of {steps}")
        time.sleep(pause)
    telling.end(ctx)
    return steps


@app.job(run="thread")
def reporter(ctx: Context, steps: int, pause: float) -> int:
    """Tell of its progress as it goes."""
    return report(ctx, steps, pause)


@app.job(run="process")
def reporter_process(ctx: Context, steps: int, pause: float) -> int:
    return report(ctx, steps, pause)


@app.job(run="thread")
def flood(ctx: Context, lines: int, size: int) -> int:
    """Say far too much."""
    telling.start(ctx)
    text = "x" * size
    for n in range(1, lines + 1):
        ctx.log(text, n=n)
    telling.end(ctx)
    return lines


@app.job(run="thread")
def hoard(ctx: Context, mib: int) -> int:
    """Leave this much more memory in use by its process."""
    telling.start(ctx)
    HOARD.append(os.urandom(1) * (mib << 20))
    telling.end(ctx)
    return os.getpid()


HOARD: list[bytes] = []
