"""What was measured on: the facts without which a number means nothing."""

from __future__ import annotations

import os
import platform
import sqlite3
import subprocess
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bench.peers.protocol import Peer


def facts(folder: Path, peers: Sequence[Peer]) -> dict[str, Any]:
    """Return the machine, the versions and the settings of this run."""
    return {
        "when": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "commit": _commit(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "file_system": _file_system(folder),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "uvloop": _version("uvloop"),
        "load_at_start": os.getloadavg()[0],
        "versions": {name: number for p in peers for name, number in p.versions().items()},
        "settings": {peer.name: dict(peer.settings()) for peer in peers},
    }


def in_memory(found: Mapping[str, Any]) -> bool:
    """Whether the stores lie in memory, where durability costs nothing and means nothing."""
    return found["file_system"] in {"tmpfs", "ramfs"}


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _file_system(folder: Path) -> str:
    best, kind = "", "unknown"
    for line in Path("/proc/mounts").read_text().splitlines():
        _, place, name = line.split()[:3]
        if str(folder.resolve()).startswith(place) and len(place) >= len(best):
            best, kind = place, name
    return kind


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=10"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
