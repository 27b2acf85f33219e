"""The ledger: a process of its own that writes down, in the order it hears it, what was done.

Handlers tell it `start`, `end` and `fail` of their attempt, clients what was acknowledged to
them, the nemesis each fault. Each line carries the ledger's own CLOCK_MONOTONIC in ns. It is
no part of the system under test, imports nothing of it and is never hurt: what a process told
before it was killed stays told (the datagram is in the kernel's hands).

Run by path: ``python -I -S ledger.py SOCKET FILE``. It ends when told `stop`, or with its parent.
"""

from __future__ import annotations

import itertools
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

WHERE = "SCENARIO_LEDGER"
"""The environment variable that holds the path of the ledger's socket."""

_sockets: dict[int, socket.socket] = {}


class Entry(NamedTuple):
    """One line: when (monotonic ns), what, and the facts told with it."""

    at: int
    what: str
    data: Mapping[str, Any]


def tell(what: str, **data: Any) -> None:
    """Tell the ledger; says nothing when there is none. Returns when the kernel has it."""
    where = os.environ.get(WHERE)
    if where:
        _socket(where).send(json.dumps([what, data], separators=(",", ":")).encode())


def _socket(where: str) -> socket.socket:
    mine = _sockets.get(os.getpid())
    if mine is None:
        mine = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        mine.connect(where)
        _sockets[os.getpid()] = mine
    return mine


def read(path: Path) -> list[Entry]:
    """Return all whole lines of a ledger's file."""
    text = path.read_text() if path.exists() else ""
    lines = text[: text.rfind("\n") + 1].splitlines()
    return [Entry(*json.loads(line)) for line in lines]


class Ledger:
    """A running ledger; a context manager. `entries()` is what it knows by now."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "ledger.jsonl"
        # A socket's path has room for about 100 bytes; pytest's folders may be longer.
        self._short = tempfile.TemporaryDirectory(prefix="ledger-")
        self.where = str(Path(self._short.name) / "socket")
        self._process: subprocess.Popen[bytes] | None = None
        self._mouth = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._marks = itertools.count(1)

    def __enter__(self) -> Self:
        program = [sys.executable, "-I", "-S", __file__, self.where, str(self.file)]
        self._process = subprocess.Popen(program)
        deadline = time.monotonic() + 30
        while not os.path.exists(self.where):  # noqa: PTH110
            assert time.monotonic() < deadline, "the ledger did not start"
            time.sleep(0.005)
        self._mouth.connect(self.where)
        return self

    def tell(self, what: str, **data: Any) -> None:
        """Tell it something from this process."""
        self._mouth.send(json.dumps([what, data], separators=(",", ":")).encode())

    def entries(self, *whats: str) -> list[Entry]:
        """Return what was told so far; only entries named in `whats`, when any are."""
        return [e for e in read(self.file) if not whats or e.what in whats]

    def catch_up(self) -> None:
        """Wait until it has written down all that was told before, by whomever."""
        mark = next(self._marks)
        self.tell("mark", number=mark)
        deadline = time.monotonic() + 30
        while not any(entry.data["number"] == mark for entry in self.entries("mark")):
            assert time.monotonic() < deadline, "the ledger does not listen"
            time.sleep(0.002)

    def stop(self) -> list[Entry]:
        """End it, with everything it heard written down. Twice is once."""
        process, self._process = self._process, None
        if process is not None:
            self.tell("stop")
            process.wait(30)
            self._mouth.close()
            self._short.cleanup()
        return self.entries()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def _keep(where: str, path: str) -> None:
    """Write down what is heard; flush whenever nobody is talking."""
    parent = os.getppid()
    ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    ear.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    with open(path, "ab", buffering=1 << 20) as book:  # noqa: PTH123
        ear.bind(where)
        while True:
            ear.settimeout(0)
            try:
                heard = ear.recv(1 << 20)
            except BlockingIOError:
                book.flush()
                ear.settimeout(1)
                try:
                    heard = ear.recv(1 << 20)
                except TimeoutError:
                    if os.getppid() != parent:
                        return
                    continue
            if heard.startswith(b'["stop"'):
                return
            book.write(b"[%d,%s\n" % (time.monotonic_ns(), heard[1:]))


if __name__ == "__main__":
    _keep(sys.argv[1], sys.argv[2])
