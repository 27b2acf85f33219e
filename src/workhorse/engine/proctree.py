"""Ending whole process trees, so that nothing an attempt started outlives it (Linux).

A process started for a job is made a *subreaper*: whatever its descendants orphan becomes its
own child again. Stopping it, killing what is below it until nothing is left, and only then
killing it, therefore ends descendants that left its session or its process group too. What
was orphaned by a death nobody foresaw is found by a mark in its environment, or, where it was
given an environment of its own, by the session or process group it was born into. Only what
threw off all three can get away: when the process above it was killed, or was none of its own, for
a child, where async and thread jobs run, is no subreaper.

To look takes a free file descriptor: where there is none for a moment, what ends processes
raises `OSError`, has perhaps not ended them, and may be called again.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

TREE_MARK: Final = "WORKHORSE_WORKER_TREE"
"""Environment variable every process of one worker carries."""
CHILD_MARK: Final = "WORKHORSE_WORKER_CHILD"
"""Environment variable every process below one child of a worker carries."""
RUNNER_MARK: Final = "WORKHORSE_RUNNER"
"""Environment variable every process below one process-executor runner carries."""

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36


def _prctl(option: int, value: int) -> None:
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when the thread of `parent` that started it ends."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def adopt_orphans() -> None:
    """Make this process the new parent of whatever its descendants orphan."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def prefer_for_oom(score: int = 800) -> None:
    """Let the kernel choose this process before its supervisor when memory runs out."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(score), encoding="ascii")


class _Process(NamedTuple):
    """One line of /proc, as far as families go."""

    parent: int
    state: str
    group: int
    session: int

    @property
    def is_alive(self) -> bool:
        return self.state not in "ZX"


def _read(pid: int | str, name: str) -> bytes:
    """Return a file of a process; nothing when there is none of that number, or it is another's.

    Raises `OSError` where that cannot be told: one that cannot be looked at is not gone.
    """
    try:
        with open(f"/proc/{pid}/{name}", "rb") as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return b""


def _look(pid: int | str) -> _Process | None:
    """Return one process; None when there is none of that number."""
    try:
        state, *numbers = _read(pid, "stat").rpartition(b")")[2].split()[:4]
        parent, group, session = (int(number) for number in numbers)
    except ValueError:
        return None
    return _Process(parent, state.decode(), group, session)


def _processes() -> dict[int, _Process]:
    """Return every process in sight by its pid."""
    seen = ((int(name), _look(name)) for name in os.listdir("/proc") if name.isdigit())
    return {pid: process for pid, process in seen if process is not None}


def _is_alive(pid: int) -> bool:
    process = _look(pid)
    return process is not None and process.is_alive


def descendants(root: int) -> list[int]:
    """Return the living (not zombie) processes below `root`, nearest first."""
    processes = _processes()
    children: dict[int, list[int]] = defaultdict(list)
    for pid, process in processes.items():
        children[process.parent].append(pid)
    found, frontier = [], [root]
    while frontier:
        below = [pid for parent in frontier for pid in children[parent]]
        found += [pid for pid in below if processes[pid].is_alive]
        frontier = below
    return found


class Family(NamedTuple):
    """What gives away the processes below one that is dead: a mark, or where they were born.

    `mark` is ``NAME=value`` in their environment. A session or group has the number of the
    process that led it, which the kernel gives to nobody else while there are members.
    """

    mark: str
    sessions: frozenset[int] = frozenset()
    groups: frozenset[int] = frozenset()

    def members(self) -> list[int]:
        """Return the living members."""
        return [
            pid
            for pid, process in _processes().items()
            if process.is_alive
            and (
                process.session in self.sessions
                or process.group in self.groups
                or self._is_marked(pid)
            )
        ]

    def _is_marked(self, pid: int) -> bool:
        return self.mark.encode() in _read(pid, "environ").split(b"\0")


def _kill(pids: Iterable[int], number: int = signal.SIGKILL) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def kill_tree(root: int, *, patience: float = 5.0) -> None:
    """End `root` and everything below it; return when all of it is dead.

    `root` itself may stay as a zombie until its parent reaps it. Returns early after
    `patience` seconds if the kernel does not let a process die (uninterruptible I/O).
    """
    deadline = time.monotonic() + patience
    _kill([root], signal.SIGSTOP)
    while below := descendants(root):
        _kill(below)
        if time.monotonic() > deadline:
            break
        time.sleep(0.001)
    _kill([root])
    while _is_alive(root) and time.monotonic() < deadline:
        time.sleep(0.001)


def kill_family(family: Family, *, spare: Iterable[int] = (), patience: float = 5.0) -> list[int]:
    """End every member of `family` but those in `spare`; return those it met.

    Returns when none is left alive, or after `patience` seconds.
    """
    spared = {*spare, os.getpid()}
    deadline = time.monotonic() + patience
    met: set[int] = set()
    while left := [pid for pid in family.members() if pid not in spared]:
        met.update(left)
        for pid in left:
            kill_tree(pid, patience=0.5)
        if time.monotonic() > deadline:
            break
        time.sleep(0.002)
    return sorted(met)


def resident_mib(pid: int) -> float:
    """Return the resident memory of a process in MiB; 0.0 when it is gone."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            pages = int(file.read().split()[1])
    except (OSError, IndexError, ValueError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
