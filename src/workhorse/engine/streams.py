"""A worker's standard output and error: work neither fails nor waits for a line nobody takes."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import socket
import stat
import sys
import time
from collections.abc import Callable
from functools import partial
from select import PIPE_BUF, POLLOUT, poll
from typing import TYPE_CHECKING, Final, TextIO

from workhorse.logs import log

if TYPE_CHECKING:
    from typing_extensions import Buffer


STDERR: Final = 2
NEWLINE: Final = ord("\n")
PATIENCE: Final = 0.5
"""Seconds that are waited for room: a reader may be slow."""
CLOGGED: Final = 60.0
"""Seconds for which one that was too slow is not waited for again."""


class _Reader:
    """What is known of whoever reads a file, by all that write to it here."""

    def __init__(self) -> None:
        self.clogged_at = -CLOGGED
        """When it was too slow."""
        self.is_within = False
        """Whether the last that it was written ends within a line."""
        self.is_torn = False
        """Whether the rest of that line was dropped."""


class _Forgiving(io.RawIOBase):
    """A file that drops what it cannot take.

    Its disk is full, its pipe or terminal is closed, or nobody reads it: a collector of logs that
    hangs, a terminal that was stopped with Ctrl-S.
    """

    def __init__(self, number: int, reader: _Reader | None = None) -> None:
        """Write to the file descriptor `number`, which stays open and leads to `reader`."""
        self._number = number
        self._reader = reader or _Reader()
        self._send = _sender(number)
        self._poll = poll()
        self._poll.register(number, POLLOUT)
        self.dropped = 0
        """Lines that found no room, and were not told of yet."""

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._number

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return os.isatty(self._number)

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: Buffer, /) -> int:
        """Take all of it, by parts that a pipe takes whole when it takes anything."""
        given, reader = bytes(data), self._reader
        whole = memoryview(b"\n" + given if reader.is_torn else given)
        try:
            for at in range(0, len(whole), PIPE_BUF):
                self._part(whole[at : at + PIPE_BUF])
                reader.is_torn = False
        except BlockingIOError:
            reader.is_torn = reader.is_within
            reader.clogged_at = time.monotonic()
            self.dropped += given.count(b"\n")
        except OSError:
            pass
        return len(given)

    def _part(self, part: memoryview) -> None:
        """Write it, or raise `BlockingIOError`: soon, or at once if it was so a moment ago."""
        is_new = time.monotonic() - self._reader.clogged_at >= CLOGGED
        left = time.monotonic() + (PATIENCE if is_new else 0.0)
        while part:
            if not self.has_room(max(0.0, left - time.monotonic())):
                raise BlockingIOError
            try:
                sent = self._send(part)
                self._reader.is_within = part[sent - 1] != NEWLINE
                part = part[sent:]
            except BlockingIOError:  # another process has taken the room
                if time.monotonic() >= left:
                    raise

    def has_room(self, patience: float = 0.0) -> bool:
        """Whether something can be written, at the latest after so many seconds."""
        return bool(self._poll.poll(patience * 1000))


def _sender(number: int) -> Callable[[memoryview], int]:
    """Return what writes to a descriptor and, where that is possible, never waits for a reader.

    Descriptors are shared with whoever has started us: a pipe or terminal is opened once more.
    """
    mode = os.fstat(number).st_mode
    if stat.S_ISSOCK(mode):
        sock = socket.socket(fileno=os.dup(number))
        return lambda part: sock.send(part, socket.MSG_DONTWAIT)
    if stat.S_ISFIFO(mode) or os.isatty(number):
        flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        with contextlib.suppress(OSError):  # another user's
            number = os.open(f"/proc/self/fd/{number}", flags)
    return partial(os.write, number)


class _Everyones(io.BufferedWriter):
    """A buffer that whoever closes it only flushes: others in the process write to it, too."""

    at_once = False
    """Whether it holds nothing back."""

    def write(self, data: Buffer, /) -> int:
        """Take all of it."""
        taken = super().write(data)
        if self.at_once:
            self.flush()
        return taken

    def close(self) -> None:
        """Write out what it holds."""
        self.flush()


_forgiving: list[_Forgiving] = []


def forgive() -> TextIO | None:
    """Make this process's standard output and error so, from now on.

    Return one more to standard error, for the process's own log: what handlers do to `sys.stderr`,
    or to its descriptor, does not reach it. None where standard error is no file.
    """
    log_to = None
    readers: dict[tuple[int, int], _Reader] = {}
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        try:
            number = stream.fileno()
        except (AttributeError, OSError, ValueError):  # closed, or not a file: a test's
            continue
        with contextlib.suppress(OSError):
            stream.flush()
        file = os.fstat(number)
        reader = readers.setdefault((file.st_dev, file.st_ino), _Reader())
        setattr(sys, name, _open_like(stream, number, reader))
        if name == "stderr":
            apart = fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 3)
            log_to = _open_like(stream, apart, reader)
    return log_to


def _open_like(stream: io.TextIOWrapper, number: int, reader: _Reader) -> TextIO:
    file = _Forgiving(number, reader)
    _forgiving.append(file)
    buffer = _Everyones(file)
    buffer.at_once = stream.write_through  # the text layer's own reaches only the buffer
    return io.TextIOWrapper(
        buffer,
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def tell_of_dropped() -> None:
    """Log how many lines nobody read, once somebody does."""
    for file in _forgiving:
        if file.dropped and file.has_room():
            lines, file.dropped = file.dropped, 0
            log.warning("lines were dropped: nobody read them", lines=lines)


def hold_standard() -> None:
    """Have descriptors 0, 1 and 2 be open: on /dev/null where a handler has closed them.

    What is opened next would take their place, and be taken for a standard stream by a process
    that is started with it.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= STDERR:
        os.set_inheritable(number, True)  # noqa: FBT003 - the only way to say it
    os.close(number)
