"""A page of memory that a child and its supervisor share: what runs, and until when.

The child writes a slot when it starts an attempt and clears it when the attempt is over; the
supervisor reads the page, also after the child's death. So a dead child's running jobs are
known exactly, and a child whose interpreter is stuck in one job can be seen from outside.
"""

from __future__ import annotations

import mmap
import os
import struct
from enum import IntFlag
from typing import Final, NamedTuple, Self

from workhorse.engine.clock import now

_TURNED_AT: Final = struct.Struct("<d")
_SLOT: Final = struct.Struct("<qiidd")  # job id (0 = free), attempt, flags, deadline, started
_HEADER_SIZE: Final = 64
NEVER: Final = float("inf")


class Mark(IntFlag):
    """What is known of a running attempt."""

    NONE = 0
    APART = 1
    """It runs in a process of its own: others are suspected first of the child's death."""
    TIMED_OUT = 2
    CANCELLED = 4
    RELEASED = 8


class Slot(NamedTuple):
    """One attempt that had started and was not over."""

    job_id: int
    attempt: int
    mark: Mark
    deadline: float
    started: float = 0.0


class Board:
    """The shared page. One writer per field: no locks."""

    def __init__(self, fd: int, slots: int) -> None:
        """Map the page behind `fd`, which stays open for handing to a child."""
        self.fd = fd
        self.slots = slots
        self._page = mmap.mmap(fd, _HEADER_SIZE + slots * _SLOT.size)

    @classmethod
    def create(cls, slots: int) -> Self:
        """Make an empty board that lives in memory only."""
        fd = os.memfd_create("workhorse-board")
        os.ftruncate(fd, _HEADER_SIZE + slots * _SLOT.size)
        return cls(fd, slots)

    def put(self, slot: int, job_id: int, attempt: int, deadline: float, mark: int = 0) -> None:
        """Say that an attempt has started in `slot`, now."""
        at = _HEADER_SIZE + slot * _SLOT.size
        _SLOT.pack_into(self._page, at, job_id, attempt, mark, deadline, now())

    def set_deadline(self, slot: int, deadline: float) -> None:
        """Say until when the attempt in `slot` may run."""
        struct.pack_into("<d", self._page, _HEADER_SIZE + slot * _SLOT.size + 16, deadline)

    def mark(self, slot: int, mark: Mark) -> None:
        """Add a mark to the attempt in `slot`."""
        at = _HEADER_SIZE + slot * _SLOT.size
        job_id, attempt, old, *times = _SLOT.unpack_from(self._page, at)
        _SLOT.pack_into(self._page, at, job_id, attempt, old | mark, *times)

    def clear(self, slot: int) -> None:
        """Say that the attempt in `slot` is over."""
        at = _HEADER_SIZE + slot * _SLOT.size
        self._page[at : at + 8] = b"\0\0\0\0\0\0\0\0"

    def running(self) -> list[Slot]:
        """Return the attempts that have started and are not over."""
        found = []
        for n in range(self.slots):
            row = _SLOT.unpack_from(self._page, _HEADER_SIZE + n * _SLOT.size)
            if row[0]:
                found.append(Slot(row[0], row[1], Mark(row[2]), *row[3:]))
        return found

    def turned(self, at: float) -> None:
        """Say that the child's loop turned at `at`."""
        _TURNED_AT.pack_into(self._page, 0, at)

    @property
    def turned_at(self) -> float:
        """When the child's loop last turned; 0.0 before its first turn."""
        (at,) = _TURNED_AT.unpack_from(self._page, 0)
        return float(at)

    def close(self) -> None:
        """Let go of the page."""
        self._page.close()
        os.close(self.fd)
