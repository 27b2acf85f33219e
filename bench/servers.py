"""The servers that peers need: started when first asked for, on the disk that is measured.

They are the tests' own, at the settings they are shipped with, and end with this process.
"""

from __future__ import annotations

import atexit
import shutil
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.services import binaries
from tests.services.ports import LOOPBACK, on_free_port
from tests.services.process import Process

if TYPE_CHECKING:
    from tests.services.postgres import Cluster

STOCK: Final = {
    "max_connections": "100",
    "max_wal_size": "1GB",
    "shared_buffers": "128MB",
    "shared_preload_libraries": "",
}
"""What the tests' clusters have otherwise; all else is as `initdb` leaves it."""
TOLD: Final = [
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "wal_sync_method",
    "shared_buffers",
    "max_wal_size",
]
REDIS: Final = ("--save", "", "--appendonly", "no")

_folder = Path()


def keep_in(folder: Path) -> None:
    """Put what servers write into this folder."""
    global _folder  # noqa: PLW0603 - there is one bench in a process
    _folder = folder.resolve()


@cache
def postgres() -> Cluster:
    """Return the one PostgreSQL server of this process."""
    from tests.services.postgres import Cluster  # it needs a driver, which not every client has

    cluster = Cluster("15", where=_folder, settings=STOCK)
    cluster.__enter__()
    atexit.register(cluster.__exit__, None, None, None)
    return cluster


def postgres_missing() -> str | None:
    return None if binaries.postgres("15") else "PostgreSQL is not installed (apt: postgresql)"


@cache
def postgres_version() -> str:
    programs = binaries.postgres("15")
    assert programs is not None
    said = subprocess.check_output([programs / "postgres", "--version"], text=True)
    return said.split()[2]


def settings() -> Mapping[str, Mapping[str, Any]]:
    """Return what decides the worth of a write, as the servers that ran have it."""
    found: dict[str, Mapping[str, Any]] = {}
    if postgres.cache_info().currsize:
        rows = postgres().sql(
            "select name, current_setting(name) from unnest(%s::text[]) as name", TOLD
        )
        found["PostgreSQL"] = dict(rows)
    if redis.cache_info().currsize:
        found["Redis"] = {"save": "off", "appendonly": "no"}
    return found


@cache
def redis() -> tuple[Process, int]:
    """Return the one Redis server of this process, and its port."""
    program = shutil.which("redis-server")
    assert program is not None
    started: list[Process] = []

    def start(port: int) -> None:
        options = ["--bind", LOOPBACK, "--port", str(port), "--dir", str(_folder), *REDIS]
        process = Process([program, *options], folder=_folder, log=_folder / f"redis-{port}.log")
        process.until(lambda: "Ready to accept connections" in process.log.read_text())
        started.append(process)

    port = on_free_port(start)
    atexit.register(started[-1].kill)
    return started[-1], port


def redis_missing() -> str | None:
    return None if shutil.which("redis-server") else "Redis is not installed (apt: redis-server)"


@cache
def redis_version() -> str:
    said = subprocess.check_output(["redis-server", "--version"], text=True)
    return said.partition("v=")[2].split()[0]
