"""A worker's standard output and error: work does not fail for a line that finds no room there."""

from __future__ import annotations

import contextlib
import io
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer


class _Forgiving(io.FileIO):
    """A file that drops what it cannot take: its disk is full, its pipe or terminal is closed."""

    def write(self, data: Buffer, /) -> int:
        try:
            written = super().write(data)
        except OSError:
            written = None
        return memoryview(data).nbytes if written is None else written


def forgive() -> None:
    """Make this process's standard output and error so, from now on."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        try:
            number = stream.fileno()
        except (AttributeError, OSError, ValueError):  # closed, or not a file: a test's
            continue
        with contextlib.suppress(OSError):
            stream.flush()
        forgiving = io.TextIOWrapper(
            io.BufferedWriter(_Forgiving(number, "wb", closefd=False)),
            encoding=stream.encoding,
            errors="backslashreplace",
            line_buffering=stream.line_buffering,
            write_through=stream.write_through,
        )
        setattr(sys, name, forgiving)
