"""Ending whole process trees, so that nothing an attempt started outlives it (Linux).

A process started for a job is made a *subreaper*: whatever its descendants orphan becomes its
own child again. Stopping it, killing what is below it until nothing is left, and only then
killing it, therefore ends descendants that left its session or its process group too. What
was orphaned by a death nobody foresaw is found by a mark in its environment.
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
from typing import Final

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


def _processes() -> dict[int, tuple[int, str]]:
    """Return pid → (parent, state letter) for every process in sight."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    rest = file.read().rpartition(b")")[2].split()
                found[int(name)] = (int(rest[1]), rest[0].decode())
            except (OSError, IndexError):
                continue
    return found


def descendants(root: int) -> list[int]:
    """Return the living (not zombie) processes below `root`, nearest first."""
    processes = _processes()
    children: dict[int, list[int]] = defaultdict(list)
    for pid, (parent, _) in processes.items():
        children[parent].append(pid)
    found, frontier = [], [root]
    while frontier:
        below = [pid for parent in frontier for pid in children[parent]]
        found += [pid for pid in below if processes[pid][1] not in "ZX"]
        frontier = below
    return found


def marked(mark: str, value: str) -> list[int]:
    """Return the living processes that carry ``mark=value`` in their environment."""
    needle = f"{mark}={value}".encode()
    found = []
    for pid, (_, state) in _processes().items():
        if state in "ZX":
            continue
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                if needle in file.read().split(b"\0"):
                    found.append(pid)
        except OSError:
            continue
    return found


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


def kill_marked(
    mark: str, value: str, *, spare: Iterable[int] = (), patience: float = 5.0
) -> list[int]:
    """End every process that carries ``mark=value``, except `spare`; return those it met.

    Returns when none is left alive, or after `patience` seconds.
    """
    spared = {*spare, os.getpid()}
    deadline = time.monotonic() + patience
    met: set[int] = set()
    while left := [pid for pid in marked(mark, value) if pid not in spared]:
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
