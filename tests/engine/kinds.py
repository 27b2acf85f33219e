"""What the engine is made to run here. Handlers tell what they do in files of `FOLDER`."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from workhorse import Context, Reject, Retry, Snooze, Workhorse

FOLDER = "ENGINE_TEST_FOLDER"
"""The environment variable that names a folder of the test's."""
IMPORT = "ENGINE_TEST_IMPORT"
"""What importing this module in a process of its own does: nothing, or exit once, hang, wait."""

LAST_WORDS = "ENGINE_TEST_LAST_WORDS"
"""What it says before it exits."""

app = Workhorse("sqlite:///never-opened.db")
SOON = Retry(max_attempts=3, base=0, jitter=0)


def told(name: str, text: object = "") -> None:
    """Leave a line in a file for the test to find."""
    with (Path(os.environ[FOLDER]) / name).open("a") as file:
        file.write(f"{text}\n")


def heard(name: str, folder: Path) -> list[str]:
    """Return the whole lines told under `name`."""
    path = folder / name
    return path.read_text().splitlines() if path.exists() else []


def wait_to_go_on(name: str) -> None:
    """Wait until the test has let `name` go on."""
    while name not in heard("go on", Path(os.environ[FOLDER])):
        time.sleep(0.01)


@app.job(retry=SOON)
async def echo(ctx: Context, value: Any = None) -> Any:
    told("ran", ctx.job_id)
    return value


@app.job(retry=SOON)
async def nap(ctx: Context, seconds: float) -> None:
    told("ran", ctx.job_id)
    await asyncio.sleep(seconds)
    told("ended", ctx.job_id)


@app.job(retry=SOON)
async def deaf(ctx: Context, seconds: float) -> None:
    """Swallow cancellation for so long."""
    told("ran", ctx.job_id)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            await asyncio.sleep(0.02)
        except asyncio.CancelledError:
            told("swallowed", ctx.job_id)


@app.job(retry=SOON)
async def hostile(ctx: Context, how: str) -> Any:
    """End in a way nobody should have to expect."""
    told("ran", ctx.job_id)
    match how:
        case "exit":
            sys.exit(3)
        case "interrupt":
            raise KeyboardInterrupt
        case "cancelled":
            raise asyncio.CancelledError
        case "generator":
            raise GeneratorExit
        case "group":
            raise BaseExceptionGroup("many", [SystemExit(1), ValueError("\0\udc80")])
        case "snooze":
            snooze = Snooze(1)
            del snooze.seconds
            raise snooze
        case "text":
            raise ValueError("\0 and \udc80 and " + "x" * 100_000)
        case "result":
            return float("nan")
        case "object":
            return object()
        case "huge":
            return "x" * (2 << 20)
    return how


@app.job(run="thread", retry=SOON)
def sleep(ctx: Context, seconds: float) -> None:
    """Sleep in a thread, deaf to everything."""
    told("ran", ctx.job_id)
    time.sleep(seconds)
    told("ended", ctx.job_id)


@app.job(run="thread", retry=SOON)
def polite(ctx: Context) -> None:
    """Go on until told to stop."""
    told("ran", ctx.job_id)
    while not ctx.cancelled:
        time.sleep(0.01)
    told("ended", ctx.job_id)


@app.job(run="thread", retry=SOON)
def talk(ctx: Context, lines: int) -> None:
    for n in range(lines):
        ctx.log(f"line {n}")
    ctx.progress(50, "half")


@app.job(run="thread", retry=SOON)
def narrate(ctx: Context) -> None:
    """Say by turns how far it is and what it does."""
    ctx.progress(10, "first")
    ctx.log("second")
    ctx.progress(50, "third")
    ctx.log("fourth")


@app.job(run="process", retry=SOON)
def process(ctx: Context, what: str = "pid", value: Any = None) -> Any:
    """Do one of many things in a process of its own."""
    told("ran", ctx.job_id)
    return DEEDS[what](value)


def deed_print(value: Any) -> None:
    print(value, flush=True)
    print("to stderr", file=sys.stderr)


def deed_print_unfinished(value: Any) -> None:
    print(value, end="")


def deed_write(value: Any) -> None:
    os.write(1, value["line"].encode() * value["times"])


def deed_bar(_value: Any) -> None:
    """Draw a progress bar that stays where it is until the test lets it go on."""
    for step in ("\r1/3", "\r2/3", "\r"):
        print(step, end="", flush=True)
    wait_to_go_on("bar")
    for part in ("3/3", "\r", "\n", "done\r\n"):
        print(part, end="", flush=True)


def deed_burst(lines: int) -> None:
    """Print so many lines at once, and stay until the test lets it go on."""
    print("\n".join(map(str, range(1, lines + 1))), flush=True)
    wait_to_go_on("burst")


def deed_tidy(value: Any) -> None:
    try:
        told("tidying")
        time.sleep(value)
    finally:
        told("tidied")


class Finalized:
    """Runs in its ``__del__``, where Python lets no exception out, until a signal comes."""

    def __del__(self) -> None:
        told("deep in")
        time.sleep(60)


def deed_keep_in(_value: Any) -> None:
    """Be told to end where no exception gets out, and then again."""
    try:
        Finalized()
        time.sleep(60)
    finally:
        told("tidied")


def deed_keep_in_at_a_fork(_value: Any) -> None:
    os.register_at_fork(after_in_parent=Finalized().__del__)
    try:
        if os.fork() == 0:
            os._exit(0)
        time.sleep(60)
    finally:
        told("tidied")


def deed_stubborn(value: Any) -> None:
    """Ignore SIGTERM, with a daemon below that has left session, group and environment."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    where = str(Path(os.environ[FOLDER]) / "daemons")
    subprocess.Popen([sys.executable, "-S", "-c", DAEMON, where], env={})
    time.sleep(value)


def deed_leave_a_process(value: Any) -> int:
    left = subprocess.Popen([sys.executable, "-S", "-c", ASIDE], env={}).pid
    told("left", left)
    if value:
        os.kill(os.getpid(), value)
    return os.getpid()


def deed_leave_a_thread(value: Any) -> int:
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    return os.getpid()


def deed_leave(what: str) -> int:
    """Leave the process otherwise than it was found."""
    LEFTOVERS[what]()
    return os.getpid()


def leave_other_stdout() -> None:
    print("kept", end="")
    sys.stdout = io.StringIO()


def leave_closed_stdout() -> None:
    sys.stdout.close()


def leave_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft - 1, hard))


LEFTOVERS: dict[str, Callable[[], object]] = {
    "folder": lambda: os.chdir(os.environ[FOLDER]),
    "umask": lambda: os.umask(0o077),
    "environment": lambda: os.environ.update(LEFT="1"),
    "no environment": lambda: delattr(os, "environ"),
    "alarm": lambda: signal.alarm(600),
    "timer": lambda: signal.setitimer(signal.ITIMER_PROF, 600, 600),
    "handler": lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL),
    "handler of another signal": lambda: signal.signal(signal.SIGUSR1, signal.SIG_IGN),
    "blocked signal": lambda: signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD}),
    "limit": leave_limit,
    "other stdout": leave_other_stdout,
    "no stdout": lambda: delattr(sys, "stdout"),
    "closed stdout": leave_closed_stdout,
    "other descriptor": lambda: os.dup2(os.open(os.devnull, os.O_WRONLY), 1),
    "closed descriptor": lambda: os.close(2),
}


def deed_put_back(_value: Any) -> int:
    """Change all of that, and leave it as it was."""
    with contextlib.chdir("/"), contextlib.redirect_stdout(io.StringIO()):
        print("into the void")
    os.umask(os.umask(0o077))
    os.environ["LEFT"] = "1"
    del os.environ["LEFT"]
    signal.signal(signal.SIGTERM, signal.signal(signal.SIGTERM, signal.SIG_DFL))
    signal.alarm(600)
    signal.alarm(0)
    asyncio.run(asyncio.sleep(0))
    subprocess.run([sys.executable, "-S", "-c", ""], check=True)
    print("out", end="")
    return os.getpid()


HOARD: list[bytearray] = []


def deed_hoard(mib: int) -> int:
    """Hold so much memory from now on."""
    HOARD.append(bytearray(b"x" * (mib << 20)))
    return os.getpid()


def deed_reject(value: Any) -> None:
    raise Reject(value)


def deed_snooze(value: Any) -> None:
    raise Snooze(value)


def deed_close(value: Any) -> None:
    sys.stdout.close()
    os.close(2)


DEEDS: dict[str, Callable[[Any], Any]] = {
    "pid": lambda value: os.getpid(),
    "print": deed_print,
    "print unfinished": deed_print_unfinished,
    "write": deed_write,
    "sleep": time.sleep,
    "bar": deed_bar,
    "burst": deed_burst,
    "tidy": deed_tidy,
    "keep in": deed_keep_in,
    "keep in at a fork": deed_keep_in_at_a_fork,
    "stubborn": deed_stubborn,
    "leave a process": deed_leave_a_process,
    "leave a thread": deed_leave_a_thread,
    "leave": deed_leave,
    "put back": deed_put_back,
    "hoard": deed_hoard,
    "reject": deed_reject,
    "snooze": deed_snooze,
    "die": lambda value: os.kill(os.getpid(), value),
    "exit": os._exit,
    "sys.exit": sys.exit,
    "close": deed_close,
}
ASIDE = "import time; time.sleep(60)"
DAEMON = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.setsid()
if os.fork():
    os._exit(0)
with open(sys.argv[1], "a") as file:
    print(os.getpid(), file=file)
time.sleep(60)
"""


LATE: SimpleQueue[Context] = SimpleQueue()
SPEAK, SPOKEN = threading.Event(), threading.Event()


def speak_late() -> None:
    """Say something of a job when another runs."""
    ctx = LATE.get()
    SPEAK.wait()
    ctx.log("late")
    ctx.progress(77, "late")
    SPOKEN.set()


@app.job(run="process", retry=SOON)
def late(ctx: Context) -> int:
    """Leave something to be said to a thread that was there before."""
    LATE.put(ctx)
    return os.getpid()


@app.job(run="process", retry=SOON)
def hear_late() -> int:
    SPEAK.set()
    SPOKEN.wait()
    return os.getpid()


UNCLOG = threading.Event()


@app.job(retry=SOON)
async def clog(ctx: Context) -> None:
    """Fill the loop's own pool of threads with what does not end until `UNCLOG`."""
    told("ran", ctx.job_id)
    loop = asyncio.get_running_loop()
    for _ in range(64):
        loop.run_in_executor(None, UNCLOG.wait)


if __name__ != "__main__" and "workhorse.engine.runner" in sys.argv[0].replace("/", "."):
    threading.Thread(target=speak_late, daemon=True).start()
    match os.environ.get(IMPORT):
        case "exit" if not heard("exited", Path(os.environ[FOLDER])):
            told("exited")
            print(os.environ.get(LAST_WORDS, ""), flush=True)
            os._exit(9)
        case "hang":
            told("importing", os.getpid())
            time.sleep(60)
        case "wait":
            told("importing", os.getpid())
            wait_to_go_on("import")
