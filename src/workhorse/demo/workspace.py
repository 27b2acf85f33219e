"""The demo's folder: the store, the worker's log, the copies the jobs work on, one demo at a time."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import workhorse
from workhorse.domain.errors import ConfigurationError, Conflict, Unavailable

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
        return f"sqlite:///{self.database}"

    @property
    def log(self) -> Path:
        return self.root / "worker.log"

    @property
    def copies(self) -> Path:
        return self.root / "demo"


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

    What an earlier demo left is removed; nothing else in the folder is touched. The store
    and the log stay behind to be looked at. Raises `Conflict` when a demo is running there.
    """
    work = Workspace(root.resolve())
    try:
        work.root.mkdir(parents=True, exist_ok=True)
        lock = (work.root / "demo.lock").open("w")
    except OSError as error:
        raise Unavailable(f"Cannot write to {work.root}: {error.strerror}.") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Conflict(
                f"Another demo is running in {work.root}.", hint="Give this one its own --dir."
            ) from None
        for leftover in work.root.glob("demo.db*"):
            _remove(leftover)
        _remove(work.copies)
        _remove(work.log)
        work.copies.mkdir()
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


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
