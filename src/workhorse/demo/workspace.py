"""The demo's folder: store, worker's log and the files the jobs work on, for one demo at a time."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import workhorse
from workhorse.domain.errors import ConfigurationError, Conflict, Unavailable
from workhorse.urls import sqlite_url

IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc")


@dataclass(frozen=True, slots=True)
class Workspace:
    """Where one demo keeps its things: all of it lies in `root`, ``.workhorse`` by default."""

    root: Path

    @property
    def database(self) -> Path:
        return self.root / "demo.db"

    @property
    def url(self) -> str:
        return sqlite_url(self.database)

    @property
    def log(self) -> Path:
        return self.root / "demo.log"

    @property
    def files(self) -> Path:
        """Where the jobs put their copies of the project, and what they make of them."""
        return self.root / "demo"

    @property
    def lock(self) -> Path:
        """Held while a demo runs; where it lies, one has been."""
        return self.root / "demo.lock"

    def leftovers(self) -> list[Path]:
        """Return what an earlier demo has left, or what looks as if."""
        store = [self.root / f"demo.db{end}" for end in ("", "-wal", "-shm", "-run")]
        return [path for path in (*store, self.log, self.files) if path.exists()]


def near(path: Path) -> str:
    """Return `path` the way one would type it here."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def sample_project() -> Path:
    """Return the sample project: packed into the installed wheel, or in the checkout's examples."""
    package = Path(workhorse.__file__).parent
    places = (
        package / "demo" / "sample_project",
        package.parent.parent / "examples" / "sample_project",
    )
    for place in places:
        if (place / "pyproject.toml").is_file():
            return place
    raise ConfigurationError("The demo's sample project is missing from this installation.")


@contextmanager
def fresh_workspace(root: Path) -> Iterator[Workspace]:
    """Give an empty workspace in `root`, for one demo at a time.

    What an earlier demo left is removed; nothing else in the folder is touched. Store, log and
    artifacts stay behind to be looked at. Raises `Conflict` when a demo is running there, or
    things of those names lie there that are no demo's; `Unavailable` when the folder cannot be
    written.
    """
    work = Workspace(root.resolve())
    try:
        lock = _lock(work)
    except OSError as error:
        raise _not_writable(work, error) from error
    with lock:
        try:
            for leftover in work.leftovers():
                _remove(leftover)
            work.files.mkdir()
        except OSError as error:
            raise _not_writable(work, error) from error
        yield work


@contextmanager
def project_copy(project: Path, into: Path) -> Iterator[Path]:
    """Give a fresh copy of `project` in the folder `into`, and remove it afterwards."""
    _remove(into)
    shutil.copytree(project, into, ignore=IGNORED)
    try:
        yield into
    finally:
        _remove(into)


def _lock(work: Workspace) -> TextIO:
    """Make the folder if need be, and hold it until the file returned is closed."""
    with suppress(FileExistsError):
        work.root.mkdir(parents=True)
        (work.root / ".gitignore").write_text("*\n", encoding="ascii")
    if not work.lock.exists() and (found := work.leftovers()):
        raise Conflict(
            f"{' and '.join(near(path) for path in found)} would be overwritten, and no demo made "
            f"{'it' if len(found) == 1 else 'them'}.",
            hint="Give this one its own --dir.",
        )
    lock = work.lock.open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise Conflict(
            f"A demo is running in {near(work.root)} already.", hint="Give this one its own --dir."
        ) from None
    return lock


def _not_writable(work: Workspace, error: OSError) -> Unavailable:
    return Unavailable(
        f"Cannot write to {near(work.root)}: {error.strerror}.",
        hint="Give the demo a folder of yours with --dir.",
    )


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
