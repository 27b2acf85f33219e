"""The write-ahead log of one database file, kept short."""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Final

from workhorse.store.sqlite.gate import PATIENCE, Gate

LOG_LIMIT: Final = 16 * 1024 * 1024
"""Bytes of log file above which it is cut as soon as no reader needs it."""
LOG_LONG: Final = 40 * 1024 * 1024
"""Bytes above which a reader that needs it is waited for, with nobody writing meanwhile."""
READER_PATIENCE: Final = 4.0
"""Longest such wait, in seconds: one reader's end, and that of another who came before it."""


class Log:
    """What is done about its length, by whoever has the turn to write."""

    def __init__(self, path: Path, gate: Gate) -> None:
        """Keep the log of the database file at `path`; those who pass `gate` leave word in it."""
        self._path = f"{path}-wal"
        self._gate = gate
        self._file: int | None = None

    def size(self) -> int:
        """Return the bytes of the log file."""
        try:
            return os.stat(self._path).st_size
        except FileNotFoundError:
            return 0

    def cut(self, connection: sqlite3.Connection) -> None:
        """Cut a log that has grown, unless a reader still needs it: then at a later write.

        A reader that comes and goes at the wrong moments could put that off for ever, so a long
        log waits for it: who begins to read meanwhile finds all in the file and needs no log.
        One that stays longer is not waited for again before the log has grown by as much.
        """
        size = self._end()
        if size <= LOG_LIMIT:
            return
        wait = size > max(LOG_LONG, self._gate.note())
        cut = self.truncate(connection, READER_PATIENCE if wait else 0.0)
        if wait and not cut:
            self._gate.leave_note(size + LOG_LIMIT)

    def _end(self) -> int:
        """Return the bytes of the log file, by a seek.

        After a stat, Linux (from 6.13) gives the next write a time stamp of its own, which the
        file system has to journal: 50 µs of each commit, measured.
        """
        if self._file is None:
            try:
                self._file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                return 0
        return os.lseek(self._file, 0, os.SEEK_END)

    def flush(self) -> None:
        """Have on the disk what is committed: what is no longer in the log is there already."""
        with suppress(FileNotFoundError):
            log = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(log)
            finally:
                os.close(log)

    def truncate(self, connection: sqlite3.Connection, patience: float) -> bool:
        """Copy the log into the file and cut it; False when a reader needs it for longer."""
        connection.execute(f"pragma busy_timeout = {int(patience * 1000)}")
        try:
            ((busy, *_),) = connection.execute("pragma wal_checkpoint(truncate)").fetchall()
        except sqlite3.Error:
            return False  # what was committed stays so; a later write tries again
        finally:
            connection.execute(f"pragma busy_timeout = {int(PATIENCE * 1000)}")
        if busy:
            return False
        self._gate.leave_note(0)
        return True

    def close(self) -> None:
        """Let go of the file. Idempotent."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
