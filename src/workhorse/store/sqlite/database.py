"""One database file: the connection that writes, the few that read, and the two ways in.

- A write waits for its turn among the threads (`group`) and the processes (`gate`) of the
  host, then has the database for itself: SQLite's own lock is free by then.
- A read never waits for a writer, and is fetched whole: no snapshot outlives a call, so none
  keeps the log from being reset.
- Nothing here survives a fork: its use in a child raises a clear error.
"""

from __future__ import annotations

import os
import sqlite3
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

from workhorse.domain.errors import Unavailable
from workhorse.store.driver import refuse_after_fork
from workhorse.store.sqlite.clock import Clock
from workhorse.store.sqlite.failures import in_our_words
from workhorse.store.sqlite.file import StoreFile
from workhorse.store.sqlite.gate import PATIENCE, Gate
from workhorse.store.sqlite.group import Commit, Work, Writes
from workhorse.store.sqlite.log import Log
from workhorse.store.sqlite.transaction import SQL, SqliteTransaction, SqliteWhole

T = TypeVar("T")

CHECKPOINT_PAGES: Final = 2000
"""Pages in the log after which a commit copies them into the database file."""
_IDLE_READERS: Final = 4
_PRAGMAS: Final = """
    pragma trusted_schema = off;
    pragma mmap_size = 0;
    pragma foreign_keys = on;
    pragma cache_size = -8000;
"""


class Database:
    """One file, its connections, and the two ways in: `write` and `read`."""

    def __init__(self, path: Path, clock: Clock, *, durability: str = "full") -> None:
        self.path = path
        self.clock = clock
        self.file = StoreFile(path)
        self._durability = durability
        self._synchronous = durability
        """How the writer's next commit is flushed."""
        self._pid = os.getpid()
        self._readers: deque[sqlite3.Connection] = deque()
        self._writer: sqlite3.Connection | None = None
        self._closed = False
        with in_our_words(path):
            self.file.make()
            self._gate = Gate(self.file.run_dir / "write.lock")
        self.log = Log(self.file.real, self._gate)
        self._writes = Writes(path, self._gate, self._transact)

    # ── writing ─────────────────────────────────────────────────────────────────────────────

    def write(self, work: Work[T], *, soft: bool = False) -> T:
        """Run `work` in a transaction that is on stable storage when this returns.

        With `soft` it gets there with the next that is not: until then a power cut undoes it,
        and nothing else does. What `work` raises undoes what it did, and only that. It may run
        twice (when a write that shares its transaction failed), so it touches nothing but the
        connection.
        """
        self._check_usable()
        return self._writes.write(work, soft=soft)

    def _transact(self, work: Work[T], commit: Commit, *, soft: bool) -> T:
        """Do `work` in a transaction, or nothing of it. The turn to write is ours.

        A signal's handler may raise at any moment: `commit` then tells whether it is done.
        """
        connection = self._writing(soft=soft)
        committing = False
        try:
            connection.execute("begin immediate")
            result = work(SqliteTransaction(connection, self.clock()))
            committing = True
            connection.execute("commit")
            commit.done = True
        except BaseException as error:
            is_signal = committing and not isinstance(error, sqlite3.Error)
            commit.done = is_signal and not connection.in_transaction
            _undo(connection)
            raise
        self.log.cut(connection)
        return result

    def _writing(self, *, soft: bool = False) -> sqlite3.Connection:
        """Return the connection that writes; only what is `soft` may be flushed later."""
        synchronous = "normal" if soft else self._durability
        if self._writer is None:
            self._synchronous = self._durability
            self._writer = self._connect(
                f"""
                pragma journal_mode = wal;
                pragma synchronous = {self._durability};
                pragma wal_autocheckpoint = {CHECKPOINT_PAGES};
                pragma journal_size_limit = {64 * 1024 * 1024};
                pragma temp_store = memory;
                {SQL["settle.create_settling"]};
                """
            )
        if synchronous != self._synchronous:
            self._writer.execute(f"pragma synchronous = {synchronous}")
            self._synchronous = synchronous
        return self._writer

    # ── reading ─────────────────────────────────────────────────────────────────────────────

    def read(self, statement: str, /, **parameters: Any) -> list[Any]:
        """Return all rows of one query: a snapshot of what was committed."""
        self._check_usable()
        with in_our_words(self.path):
            try:
                connection = self._readers.pop()
            except IndexError:
                connection = self._connect("pragma query_only = on")
            try:
                tx = SqliteTransaction(connection, self.clock())
                return tx.run(statement, **parameters).fetchall()
            finally:
                if len(self._readers) < _IDLE_READERS and not self._closed:
                    self._readers.append(connection)
                else:
                    connection.close()

    def flush(self) -> None:
        """Have all that could be read on stable storage, as far as this store promises that."""
        self._check_usable()
        if self._durability == "full":
            with in_our_words(self.path):
                self.log.flush()

    # ── opening and closing ─────────────────────────────────────────────────────────────────

    def size(self) -> int:
        """Return the bytes of the database file and its log."""
        return os.stat(self.file.real).st_size + self.log.size()

    def tidy(self) -> None:
        """Copy the log into the file, cut it, and refresh what the planner knows."""
        self._check_usable()
        with self._writes.turn():
            connection = self._writing()
            self.log.truncate(connection, patience=0.0)
            connection.execute("pragma analysis_limit = 400")
            connection.execute("pragma optimize")

    def exclusively(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` with the writer's connection and no transaction: for migrations."""
        self._check_usable()
        with self._writes.turn():
            connection = self._writing()
            try:
                return work(connection)
            except BaseException:
                _undo(connection)
                raise

    @contextmanager
    def whole(self) -> Iterator[SqliteWhole]:
        """Have the file alone, in one transaction."""
        self._check_usable()
        with self._writes.turn():
            connection = self._writing()
            try:
                connection.execute("begin immediate")
                yield SqliteWhole(connection, self.clock())
                connection.execute("commit")
            except BaseException:
                _undo(connection)
                raise

    def close(self) -> None:
        """Let go of everything. Idempotent."""
        if self._closed or os.getpid() != self._pid:
            return
        self._closed = True
        with self._writes.lock:
            try:
                with self._gate:  # the last to close copies the log into the file
                    self._close_files()
            except Unavailable:
                self._close_files()
            self._gate.close()

    def let_go(self) -> None:
        """Close, and wait for nobody: the store is gone, and so is who could be using it."""
        if self._closed or os.getpid() != self._pid:
            return
        self._closed = True
        self._close_files()
        self._gate.close()

    def _close_files(self) -> None:
        while self._readers:
            self._readers.pop().close()
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        self.log.close()

    def _connect(self, more: str) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.file.real, timeout=PATIENCE, isolation_level=None, check_same_thread=False
        )
        try:
            connection.executescript(_PRAGMAS + more)
        except BaseException:
            connection.close()
            raise
        return connection

    def _check_usable(self) -> None:
        refuse_after_fork(self._pid)
        if self._closed:
            raise Unavailable("The store is closed.")
        self.file.check()


def _undo(connection: sqlite3.Connection) -> None:
    """Roll back, if SQLite has not done so itself (it does, for example, when the disk is full)."""
    if connection.in_transaction:
        connection.execute("rollback")
