"""Looking at processes from outside, through /proc: no word of the worker is taken for it."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
TREE = "WORKHORSE_WORKER_TREE"
"""The variable every process of a worker carries."""


class Process(NamedTuple):
    """One process, as the kernel shows it."""

    pid: int
    parent: int
    session: int
    state: str
    command: str

    @property
    def is_alive(self) -> bool:
        """Whether it can still run: a zombie cannot."""
        return self.state not in "ZX"


def look(pid: int) -> Process | None:
    """Return the process, or None when there is none of that number."""
    try:
        stat = (PROC / str(pid) / "stat").read_text()
        command = (PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return None
    state, parent, _, session = stat.rpartition(")")[2].split()[:4]
    told = command.replace(b"\0", b" ").decode(errors="replace")
    return Process(pid, int(parent), int(session), state, told)


def alive(pid: int) -> bool:
    """Whether the process exists and is not a zombie."""
    process = look(pid)
    return process is not None and process.is_alive


def living(pids: Iterable[int]) -> list[int]:
    """Return those of `pids` that are alive."""
    return [pid for pid in pids if alive(pid)]


def pids() -> Iterator[int]:
    """Return the number of every process there is."""
    return (int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit())


def variable(pid: int, name: str) -> str | None:
    """Return what `name` was in the environment the process was started with."""
    try:
        environ = (PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return None
    prefix = f"{name}=".encode()
    for entry in environ.split(b"\0"):
        if entry.startswith(prefix):
            return entry[len(prefix) :].decode(errors="replace")
    return None


def marked(name: str, value: str) -> list[Process]:
    """Return the living processes started with `name` set to `value`."""
    found = (look(pid) for pid in pids() if variable(pid, name) == value)
    return [process for process in found if process is not None and process.is_alive]


def children(pid: int) -> list[Process]:
    """Return the living processes whose parent is `pid`."""
    found = (look(other) for other in pids())
    return [p for p in found if p is not None and p.parent == pid and p.is_alive]


@cache
def ancestors(pid: int, depth: int = 6) -> tuple[int, ...]:
    """Return `pid` and the processes above it, nearest first, as they were at the first call."""
    chain: list[int] = []
    while pid > 1 and len(chain) < depth:
        chain.append(pid)
        process = look(pid)
        if process is None:
            break
        pid = process.parent
    return tuple(chain)


def resident(pid: int) -> int:
    """Return the resident memory of a process in bytes; 0 when it is gone."""
    try:
        return int((PROC / str(pid) / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def ports(pid: int) -> set[int]:
    """Return the local ports of a process's connections by TCP."""
    folder = Path(f"/proc/{pid}")
    try:
        lines = (folder / "net/tcp").read_text().splitlines()[1:]
        held = {str(fd.readlink()) for fd in (folder / "fd").iterdir()}
    except OSError:  # it ended meanwhile
        return set()
    rows = (line.split() for line in lines)
    return {int(row[1][-4:], 16) for row in rows if f"socket:[{row[9]}]" in held}


@contextlib.contextmanager
def nothing_left_open() -> Iterator[None]:
    """Whatever is done in here, this process has the same files open afterwards."""
    before = _descriptors()
    yield
    after = _descriptors()
    assert after == before, f"opened: {after - before}, closed: {before - after}"


def _descriptors() -> set[str]:
    """Return the numbers of the files that this process has open."""
    return {path.name for path in (PROC / "self/fd").iterdir()}


@contextlib.contextmanager
def no_descriptor(pid: int = 0) -> Iterator[None]:
    """Leave a process (0: this one) without a free descriptor; what is open stays so."""
    _, most = was = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, most))  # the first three are never free
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, was)


def send(pid: int, number: signal.Signals) -> bool:
    """Signal one process; False when it is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False


def end(found: Iterable[Process]) -> None:
    """Kill these processes, stopped or not."""
    for process in found:
        send(process.pid, signal.SIGKILL)
