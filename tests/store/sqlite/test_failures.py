"""A caller meets our words, never a driver's error."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

import pytest

from workhorse.domain.errors import InvalidJob, NotFound, StoreFull, Unavailable, WorkhorseError
from workhorse.store.sqlite import failures
from workhorse.store.sqlite.failures import in_our_words, translated

PATH = Path("/var/lib/jobs.db")


def from_sqlite(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("something of SQLite's")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("error", "expected", "word"),
    [
        (from_sqlite(sqlite3.SQLITE_BUSY), Unavailable, "busy"),
        (from_sqlite(sqlite3.SQLITE_BUSY_SNAPSHOT), Unavailable, "busy"),
        (from_sqlite(sqlite3.SQLITE_LOCKED), Unavailable, "busy"),
        (from_sqlite(sqlite3.SQLITE_NOTADB), Unavailable, "not an SQLite database"),
        (from_sqlite(sqlite3.SQLITE_CORRUPT), Unavailable, "damaged"),
        (from_sqlite(sqlite3.SQLITE_READONLY), Unavailable, "Cannot write"),
        (from_sqlite(sqlite3.SQLITE_READONLY_DBMOVED), Unavailable, "Cannot write"),
        (from_sqlite(sqlite3.SQLITE_CANTOPEN), Unavailable, "Cannot write"),
        (from_sqlite(sqlite3.SQLITE_IOERR_WRITE), Unavailable, "failed"),
        (from_sqlite(sqlite3.SQLITE_FULL), StoreFull, "full"),
        (from_sqlite(sqlite3.SQLITE_CONSTRAINT_CHECK), InvalidJob, "cannot hold"),
        (from_sqlite(sqlite3.SQLITE_TOOBIG), InvalidJob, "cannot hold"),
        (sqlite3.ProgrammingError("no code at all"), Unavailable, "failed"),
        (OSError(errno.ENOSPC, "No space left"), StoreFull, "full"),
        (OSError(errno.EDQUOT, "Quota exceeded"), StoreFull, "full"),
        (PermissionError(errno.EACCES, "Permission denied"), Unavailable, "Permission denied"),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates"), InvalidJob, "cannot hold"),
        (OverflowError("Python int too large"), InvalidJob, "cannot hold"),
    ],
    ids=lambda value: getattr(value, "__name__", None) or str(value)[:40],
)
def test_every_error_has_its_word(
    error: Exception, expected: type[WorkhorseError], word: str
) -> None:
    """What the driver and the system say comes out as one of ours, with its cause behind it."""
    with pytest.raises(expected, match=word) as caught, in_our_words(PATH):
        raise error
    assert caught.value.__cause__ is error
    assert type(caught.value) is expected


def test_an_error_of_a_signal_s_handler_is_not_ours() -> None:
    """An alarm may raise `TimeoutError` at any moment: it is passed on as it is."""
    with pytest.raises(TimeoutError), in_our_words(PATH):
        raise TimeoutError


def test_a_failed_write_on_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite calls it an input/output error at times; when nothing is left, we call it full."""
    monkeypatch.setattr(failures, "_nothing_left", lambda path: True)
    error = translated(from_sqlite(sqlite3.SQLITE_IOERR_SHMSIZE), PATH)
    assert isinstance(error, StoreFull)
    assert error.hint


def test_another_users_store(tmp_path: Path) -> None:
    """Its files are private: the error says as whom to run."""
    theirs = Path("/etc/passwd")
    if os.geteuid() == 0:
        theirs = tmp_path / "jobs.db"
        theirs.touch()
        os.chown(theirs, 1, 1)
    error = translated(PermissionError(errno.EACCES, "Permission denied"), theirs)
    assert isinstance(error, Unavailable)
    assert "as that user" in str(error.hint)


@pytest.mark.parametrize("error", [NotFound("no such job"), ValueError("a bug"), KeyError(1)])
def test_other_errors_are_left_as_they_are(error: Exception) -> None:
    """Our own errors, and defects, are not made to look like a store out of reach."""
    with pytest.raises(type(error)) as caught, in_our_words(PATH):
        raise error
    assert caught.value is error
    assert translated(error, PATH) is None
