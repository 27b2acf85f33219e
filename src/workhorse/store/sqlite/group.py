"""Group commit: writes of threads that wait at the same time share one flush to disk."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Generic, Protocol, TypeAlias, TypeVar

from workhorse.domain.errors import Unavailable, WorkhorseError
from workhorse.store.sqlite.failures import in_our_words
from workhorse.store.sqlite.gate import PATIENCE, Gate
from workhorse.store.sqlite.transaction import SqliteTransaction

T = TypeVar("T")
Work: TypeAlias = Callable[[SqliteTransaction], T]

GROUP_LIMIT: Final = 256
"""Most writes that share one transaction."""


class Commit:
    """Whether a transaction is committed: one fact, true for all who share it at once."""

    __slots__ = ("done",)

    def __init__(self) -> None:
        self.done = False


class Transact(Protocol):
    """Does a work in a transaction, or nothing of it: `commit` tells which, whatever is raised."""

    def __call__(self, work: Work[T], commit: Commit, *, soft: bool) -> T: ...


class _Write(Generic[T]):
    """One caller's write, and what became of it."""

    __slots__ = ("commit", "error", "result", "soft", "work")

    def __init__(self, work: Work[T], *, soft: bool) -> None:
        self.work = work
        self.soft = soft
        self.commit = Commit()
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


class Writes:
    """The turn to write: among the threads of this process, and then among the processes."""

    def __init__(self, path: Path, gate: Gate, transact: Transact) -> None:
        self.lock = threading.Lock()
        """Who has it writes, for all who wait for it."""
        self._path = path
        self._gate = gate
        self._transact = transact
        self._waiting: deque[_Write[Any]] = deque()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Have the turn for as long as this lasts."""
        with in_our_words(self._path), self.lock, self._gate:
            yield

    def write(self, work: Work[T], *, soft: bool) -> T:
        """Do `work` in a transaction of its own, or in one with those of other threads."""
        if not self._waiting and self.lock.acquire(blocking=False):  # nobody to share with
            try:
                with in_our_words(self._path), self._gate:
                    return self._transact(work, Commit(), soft=soft)
            finally:
                self.lock.release()
        mine = _Write(work, soft=soft)
        self._waiting.append(mine)
        self._take_turn(mine)
        try:
            while not mine.done:
                self._lead(mine)
        finally:
            self.lock.release()
        return mine.answer()

    def _take_turn(self, mine: _Write[Any]) -> None:
        """Wait for the lock: when it comes, somebody has written for us, or we write for all."""
        try:
            if self.lock.acquire(timeout=2 * PATIENCE):
                return
            self._waiting.remove(mine)
        except ValueError:  # somebody writes for us at this moment: see how it ends
            self.lock.acquire()
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
            with in_our_words(self._path), self._gate:
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
        commit = Commit()

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
        write.commit = Commit()
        try:
            with in_our_words(self._path):
                self._transact(write.perform, write.commit, soft=write.soft)
        except Exception as error:
            if write.commit.done:
                raise
            write.error = error  # it is its caller's, who gets it
