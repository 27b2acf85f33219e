"""A page of memory in which a supervisor tells its warden what the warden must know.

It says until when the worker's children may live, and who they are: the sessions of their
processes. It is read when the supervisor is dead or frozen, so nobody can be asked.
"""

from __future__ import annotations

import mmap
import os
import struct
from typing import Final, Self

_LIVE_UNTIL: Final = struct.Struct("<d")
_CHILD: Final = struct.Struct("<i")
_ROOM: Final = (mmap.PAGESIZE - _LIVE_UNTIL.size) // _CHILD.size


class LeasePage:
    """The shared page. The supervisor writes, the warden reads: no locks."""

    def __init__(self, fd: int) -> None:
        """Map the page behind `fd`, which stays open for handing to the warden."""
        self.fd = fd
        self._page = mmap.mmap(fd, mmap.PAGESIZE)

    @classmethod
    def create(cls) -> Self:
        """Make an empty page that lives in memory only."""
        fd = os.memfd_create("workhorse-lease")
        os.ftruncate(fd, mmap.PAGESIZE)
        return cls(fd)

    @property
    def live_until(self) -> float:
        """The local instant past which the worker's children must not live."""
        return float(_LIVE_UNTIL.unpack_from(self._page, 0)[0])

    @live_until.setter
    def live_until(self, at: float) -> None:
        _LIVE_UNTIL.pack_into(self._page, 0, at)

    def add(self, child: int) -> None:
        """Say that the process `child`, which leads a session, has been started."""
        self._replace(0, child)

    def remove(self, child: int) -> None:
        """Say that nothing of `child` is left, before its number can be another's."""
        self._replace(child, 0)

    @property
    def children(self) -> frozenset[int]:
        """The children that were added and not removed."""
        numbers = struct.unpack_from(f"<{_ROOM}i", self._page, _LIVE_UNTIL.size)
        return frozenset(number for number in numbers if number)

    def _replace(self, old: int, new: int) -> None:
        """Write `new` in place of `old`; where there is no room a child has its mark alone."""
        for at in range(_LIVE_UNTIL.size, _LIVE_UNTIL.size + _ROOM * _CHILD.size, _CHILD.size):
            if _CHILD.unpack_from(self._page, at)[0] == old:
                _CHILD.pack_into(self._page, at, new)
                return

    def close(self) -> None:
        """Let go of the page. Twice is once."""
        if self.fd >= 0:
            self._page.close()
            os.close(self.fd)
            self.fd = -1
