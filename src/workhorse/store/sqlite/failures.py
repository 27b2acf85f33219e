"""From SQLite's errors to the words of the caller."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path
from types import TracebackType

from workhorse.domain.errors import InvalidJob, StoreFull, Unavailable, WorkhorseError

_FULL_BELOW = 64 * 1024
"""With less than this left (bytes), a failed write is blamed on the full disk."""


class in_our_words:  # noqa: N801 - read where it is used: ``with in_our_words(path):``
    """Turn an error of the driver or the file system into one of ours. A generator costs more."""

    __slots__ = ("_path",)

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, Exception):
            said = translated(error, self._path)
            if said is not None:
                raise said from error


def translated(error: Exception, path: Path) -> WorkhorseError | None:
    """Return what an error means to a caller; None for one that is neither driver's nor system's.

    `StoreFull` and `Unavailable` tell of the store, `InvalidJob` of what it was given.
    """
    match error:
        case sqlite3.Error():
            return _from_sqlite(error, path)
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            return _full(path)
        case OSError(errno=None):  # the system's have one: a signal's handler raised this
            return None
        case PermissionError():
            return _forbidden(error, path)
        case OSError():
            return Unavailable(f"Cannot use {path}: {error.strerror or error}.")
        case UnicodeError() | OverflowError():
            return InvalidJob(f"The store cannot hold this: {error}.")
        case _:
            return None


def _forbidden(error: PermissionError, path: Path) -> Unavailable:
    """Tell a store that is another user's from a folder that this one may not write in."""
    why = f"Cannot use {path}: {error.strerror or error}"
    if _is_anothers(path):
        hint = "Only the owner of its files may: run all that use the store as that user."
        return Unavailable(f"{why}.", hint=hint)
    folders = Path(os.path.realpath(error.filename or path)).parents
    return Unavailable(
        f"{why} in the folder {next(filter(os.path.exists, folders))}.",
        hint="Let this user write there, run as one who may, or keep the store elsewhere.",
    )


def _is_anothers(path: Path) -> bool:
    try:
        return os.stat(path).st_uid != os.geteuid()
    except OSError:  # none, as far as this user can see
        return False


def _from_sqlite(error: sqlite3.Error, path: Path) -> WorkhorseError:
    exactly = getattr(error, "sqlite_errorcode", 0)
    code = exactly & 0xFF
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _nothing_left(path)):
        return _full(path)
    match code:
        case _ if exactly == sqlite3.SQLITE_IOERR_SHORT_READ:
            return Unavailable(
                f"The store {path} and its log do not belong together: one of them was moved, "
                "deleted or replaced while a process had them open.",
                hint="Stop all that use the store, then start again: what is there then is taken.",
            )
        case sqlite3.SQLITE_CONSTRAINT | sqlite3.SQLITE_MISMATCH | sqlite3.SQLITE_TOOBIG:
            return InvalidJob(f"The store cannot hold this: {error}.")
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return Unavailable(f"The store {path} is busy: another process holds its lock.")
        case sqlite3.SQLITE_NOTADB:
            return Unavailable(f"{path} is not an SQLite database.")
        case sqlite3.SQLITE_CORRUPT:
            return Unavailable(
                f"The store {path} is damaged: {error}.", hint="Restore it from a backup."
            )
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_CANTOPEN:
            return Unavailable(f"Cannot write the store {path}: {error}.")
        case _:
            return Unavailable(f"The store {path} failed: {error}.")


def _full(path: Path) -> StoreFull:
    return StoreFull(
        f"The disk under {path} is full; nothing was changed.",
        hint="Free some space: work resumes by itself.",
    )


def _nothing_left(path: Path) -> bool:
    try:
        disk = os.statvfs(os.path.dirname(os.path.realpath(path)))
    except OSError:
        return False
    return disk.f_bavail * disk.f_frsize < _FULL_BELOW
