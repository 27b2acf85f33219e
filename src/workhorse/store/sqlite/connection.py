"""Connections to one database file: one that writes, a few that read.

- A write waits for its turn among the threads (a lock) and the processes (`gate`) of the
  host, then has the database for itself: SQLite's own lock is free by then.
- Writes of threads that wait at the same time share one transaction, and so one flush to disk.
- A read never waits for a writer, and is fetched whole: no snapshot outlives a call, so none
  keeps the log from being reset.
- Nothing here survives a fork: its use in a child raises a clear error.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Generic, TypeAlias, TypeVar

from workhorse.domain.errors import StoreGone, Unavailable, WorkhorseError
from workhorse.store.sqlite.clock import Clock
from workhorse.store.sqlite.failures import in_our_words
from workhorse.store.sqlite.filesystem import NETWORK, file_system
from workhorse.store.sqlite.gate import PATIENCE, Gate
from workhorse.store.sqlite.transaction import SQL, SqliteTransaction, SqliteWhole

T = TypeVar("T")
Work: TypeAlias = Callable[[SqliteTransaction], T]

CHECKPOINT_PAGES: Final = 2000
"""Pages in the log after which a commit copies them into the database file."""
LOG_LIMIT: Final = 16 * 1024 * 1024
"""Bytes of log file above which it is cut as soon as no reader needs it."""
LOG_LONG: Final = 40 * 1024 * 1024
"""Bytes above which a reader that needs it is waited for, with nobody writing meanwhile."""
READER_PATIENCE: Final = 4.0
"""Longest such wait, in seconds: one reader's end, and that of another who came before it."""
GROUP_LIMIT: Final = 256
"""Most writes that share one transaction."""

_CREATING: Final = threading.Lock()
_IDLE_READERS: Final = 4
_PRAGMAS: Final = """
    pragma trusted_schema = off;
    pragma mmap_size = 0;
    pragma foreign_keys = on;
    pragma cache_size = -8000;
"""


class _Commit:
    """Whether a transaction is committed: one fact, true for all who share it at once."""

    __slots__ = ("done",)

    def __init__(self) -> None:
        self.done = False


class _Write(Generic[T]):
    """One caller's write, and what became of it."""

    __slots__ = ("commit", "error", "result", "soft", "work")

    def __init__(self, work: Work[T], *, soft: bool) -> None:
        self.work = work
        self.soft = soft
        self.commit = _Commit()
        self.error: BaseException | None = None
        self.result: T | None = None
        """What counts once it is committed."""

    @property
    def done(self) -> bool:
        return self.commit.done or self.error is not None

    def perform(self, tx: SqliteTransaction) -> None:
        self.result = self.work(tx)

    def answer(self) -> T:
        if self.error is not None:
            raise self.error
        return self.result  # type: ignore[return-value]  # set when there is no error


class Database:
    """One file, its connections, and the two ways in: `write` and `read`."""

    def __init__(self, path: Path, clock: Clock, *, durability: str = "full") -> None:
        self.path = path
        self.clock = clock
        self.run_dir = path.with_name(path.name + "-run")
        self._durability = durability
        self._synchronous = durability
        """How the writer's next commit is flushed."""
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._waiting: deque[_Write[Any]] = deque()
        self._readers: deque[sqlite3.Connection] = deque()
        self._writer: sqlite3.Connection | None = None
        self._log: int | None = None
        self._closed = False
        self._file: tuple[int, int] | None = None
        with in_our_words(path):
            self._make_files()
            self._gate = Gate(self.run_dir / "write.lock")

    # ── writing ─────────────────────────────────────────────────────────────────────────────

    def write(self, work: Work[T], *, soft: bool = False) -> T:
        """Run `work` in a transaction that is on stable storage when this returns.

        With `soft` it gets there with the next that is not: until then a power cut undoes it,
        and nothing else does. What `work` raises undoes what it did, and only that. It may run
        twice (when a write that shares its transaction failed), so it touches nothing but the
        connection.
        """
        self._check_usable()
        if not self._waiting and self._lock.acquire(blocking=False):  # nobody to share with
            try:
                with in_our_words(self.path), self._gate:
                    return self._transact(work, _Commit(), soft=soft)
            finally:
                self._lock.release()
        mine = _Write(work, soft=soft)
        self._waiting.append(mine)
        self._take_turn(mine)
        try:
            while not mine.done:
                self._lead(mine)
        finally:
            self._lock.release()
        return mine.answer()

    def _take_turn(self, mine: _Write[Any]) -> None:
        """Wait for the lock: when it comes, somebody has written for us, or we write for all."""
        try:
            if self._lock.acquire(timeout=2 * PATIENCE):
                return
            self._waiting.remove(mine)
        except ValueError:  # somebody writes for us at this moment: see how it ends
            self._lock.acquire()
        except BaseException:
            if mine in self._waiting:
                self._waiting.remove(mine)
            raise
        else:
            raise Unavailable("The store is busy: no turn among this process's own writes.")

    def _lead(self, mine: _Write[Any]) -> None:
        """Take everyone who waits, and write for all of them."""
        group = [self._waiting.popleft() for _ in range(min(len(self._waiting), GROUP_LIMIT))]
        try:
            with in_our_words(self.path), self._gate:
                if len(group) == 1 or not self._together(group):
                    for write in group:
                        self._alone(write)
        except WorkhorseError as error:
            for write in group:
                if not write.done:
                    write.error = error
        except BaseException:  # an interrupt is for the leader alone: the others go on
            left = [write for write in group if not (write.done or write is mine)]
            self._waiting.extendleft(reversed(left))
            raise

    def _together(self, group: Sequence[_Write[Any]]) -> bool:
        """Write for all in one transaction; False, and nothing done, when one of them fails."""
        commit = _Commit()

        def perform_all(tx: SqliteTransaction) -> None:
            for write in group:
                write.perform(tx)
                write.commit = commit

        try:
            self._transact(perform_all, commit, soft=all(one.soft for one in group))
        except Exception:
            if commit.done:  # a signal's handler raised it, for the leader
                raise
            return False  # whatever one work raised, it will raise again alone
        return True

    def _alone(self, write: _Write[Any]) -> None:
        write.commit = _Commit()
        try:
            with in_our_words(self.path):
                self._transact(write.perform, write.commit, soft=write.soft)
        except Exception as error:
            if write.commit.done:
                raise
            write.error = error  # it is its caller's, who gets it

    def _transact(self, work: Work[T], commit: _Commit, *, soft: bool) -> T:
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
        self._cut_log(connection)
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

    def _cut_log(self, connection: sqlite3.Connection) -> None:
        """Cut a log that has grown, unless a reader still needs it: then at a later write.

        A reader that comes and goes at the wrong moments could put that off for ever, so a long
        log waits for it: who begins to read meanwhile finds all in the file and needs no log.
        One that stays longer is not waited for again before the log has grown by as much.
        """
        size = self._log_end()
        if size <= LOG_LIMIT:
            return
        wait = size > max(LOG_LONG, self._gate.note())
        cut = self._truncate_log(connection, READER_PATIENCE if wait else 0.0)
        if wait and not cut:
            self._gate.leave_note(size + LOG_LIMIT)

    def _log_end(self) -> int:
        """Return the bytes of the log file, by a seek.

        After a stat, Linux (from 6.13) gives the next write a time stamp of its own, which the
        file system has to journal: 50 µs of each commit, measured.
        """
        if self._log is None:
            try:
                self._log = os.open(f"{self.path}-wal", os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                return 0
        return os.lseek(self._log, 0, os.SEEK_END)

    def log_size(self) -> int:
        """Return the bytes of the log file."""
        try:
            return os.stat(f"{self.path}-wal").st_size
        except FileNotFoundError:
            return 0

    def _truncate_log(self, connection: sqlite3.Connection, patience: float) -> bool:
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

    # ── opening and closing ─────────────────────────────────────────────────────────────────

    def size(self) -> int:
        """Return the bytes of the database file and its log."""
        return os.stat(self.path).st_size + self.log_size()

    def tidy(self) -> None:
        """Copy the log into the file, cut it, and refresh what the planner knows."""
        self._check_usable()
        with in_our_words(self.path), self._lock, self._gate:
            connection = self._writing()
            self._truncate_log(connection, 0.0)
            connection.execute("pragma analysis_limit = 400")
            connection.execute("pragma optimize")

    def exclusively(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` with the writer's connection and no transaction: for migrations."""
        self._check_usable()
        with in_our_words(self.path), self._lock, self._gate:
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
        with in_our_words(self.path), self._lock, self._gate:
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
        with self._lock:
            while self._readers:
                self._readers.pop().close()
            try:
                with self._gate:  # the last to close copies the log into the file
                    self._close_writer()
            except Unavailable:
                self._close_writer()
            self._gate.close()

    def _close_writer(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        if self._log is not None:
            os.close(self._log)
            self._log = None

    def _connect(self, more: str) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=PATIENCE, isolation_level=None, check_same_thread=False
        )
        try:
            connection.executescript(_PRAGMAS + more)
        except BaseException:
            connection.close()
            raise
        return connection

    def _make_files(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        kind = file_system(self.path.parent)
        if kind in NETWORK:
            raise Unavailable(
                f"The store {self.path} is on a network file system ({kind}).",
                hint="SQLite needs a local disk.",
            )
        self._make_file()
        self.run_dir.mkdir(mode=0o700, exist_ok=True)

    def _make_file(self) -> None:
        """Create the file for its owner alone, unless it is there.

        One that is there is never opened here: closing it again would let go of every lock that
        SQLite holds on it for this process (POSIX), and another process, seeing none, would
        delete the log that we write to.
        """
        with _CREATING, contextlib.suppress(FileExistsError):
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            os.close(os.open(self.path, flags, 0o600))

    def remember_file(self) -> None:
        """Note which file was opened: from now on it must be the one that is found."""
        found = os.stat(self.path)
        self._file = found.st_dev, found.st_ino

    def _check_usable(self) -> None:
        if os.getpid() != self._pid:
            raise Unavailable(
                "This store was opened before a fork and cannot be used after it.",
                hint="Open none before a fork, or start processes by 'spawn'.",
            )
        if self._closed:
            raise Unavailable("The store is closed.")
        self._check_there()

    def _check_there(self) -> None:
        """Raise `StoreGone` when the path no longer leads to the file that was opened.

        SQLite would go on in it for as long as it is open, and nobody else would see any of that.
        """
        try:
            found = os.stat(self.path)
            is_there = self._file in {None, (found.st_dev, found.st_ino)}
        except (FileNotFoundError, NotADirectoryError):
            is_there = self._file is None
        except OSError:  # that says nothing
            return
        if not is_there:
            raise StoreGone(
                f"The store {self.path} was deleted or replaced since it was opened.",
                hint="Start this process again: it takes what is there then.",
            )


def _undo(connection: sqlite3.Connection) -> None:
    """Roll back, if SQLite has not done so itself (it does, for example, when the disk is full)."""
    if connection.in_transaction:
        connection.execute("rollback")
