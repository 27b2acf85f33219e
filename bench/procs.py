"""What Linux tells of a process: its CPU time to the nanosecond, its peak memory, its children."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

TICK: Final = os.sysconf("SC_CLK_TCK")


def cpu_ns(pid: int) -> int:
    """Return the CPU time a process has used, all its threads together; 0 when it is gone.

    Reads the process's own CPU clock (clock_getcpuclockid(3)); /proc counts in ticks of 10 ms.
    """
    try:
        return time.clock_gettime_ns((~pid << 3) | 2)
    except OSError:
        return 0


def peak_rss_mib(pid: int) -> float:
    """Return the most memory the process ever had resident, in MiB."""
    return _kib(Path(f"/proc/{pid}/status"), "VmHWM:") / 1024


def pss_mib(pid: int) -> float:
    """Return the memory the process uses now, shared pages by its share, in MiB."""
    return _kib(Path(f"/proc/{pid}/smaps_rollup"), "Pss:") / 1024


def tree_ns(pid: int) -> int:
    """Return the CPU time of a process and all its descendants, those it has waited for too."""
    return sum(map(cpu_ns, tree(pid))) + _waited_for_ns(pid)


def _waited_for_ns(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return (int(fields[13]) + int(fields[14])) * 1_000_000_000 // TICK


def _kib(table: Path, label: str) -> int:
    for line in table.read_text().splitlines():
        if line.startswith(label):
            return int(line.split()[1])
    return 0


def tree(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    found = [pid]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += map(int, children.read_text().split())
            except OSError:
                continue
    return found


def machine_busy_s() -> float:
    """Return the CPU seconds all processes of this machine have used since it started."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    user, nice, system, _idle, _wait, irq, soft = map(int, fields[:7])
    return (user + nice + system + irq + soft) / TICK


def our_cpu_s() -> float:
    """Return the CPU seconds of this process and of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
