"""The command line as a user runs it: real processes, and a real terminal around them."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.cli.conftest import Ran

PATIENCE: Final = 30.0
"""Seconds after which something that must happen is said not to happen."""

CTRL_C: Final = "\x03"
WORKHORSE: Final = (sys.executable, "-m", "workhorse")
# A program's first act: the terminal on its stdin becomes the one that sends it Ctrl-C, and that
# it minds the loss of, also where the tests themselves run under `nohup`.
_TAKE_TERMINAL: Final = """
import fcntl, os, signal, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])
"""


def workhorse(*words: object, folder: Path, stdin: str = "", **environment: str) -> Ran:
    """Run one command to its end."""
    done = subprocess.run(
        [*WORKHORSE, *map(str, words)],
        cwd=folder,
        env=os.environ | environment,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def kept(*command: str, mode: int) -> Ran:
    """Run a program in a new folder, ``kept``, whose mode holds for it even if it is root's."""
    folder = Path("kept").resolve()
    folder.mkdir()
    rights = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    less = rights if os.geteuid() == 0 else []
    try:
        done = subprocess.run(
            ["sh", "-c", 'chmod "$0" . && exec "$@"', f"{mode:o}", *less, *command],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    finally:
        folder.chmod(0o700)
    return Ran(done.returncode, done.stdout, done.stderr)


@contextmanager
def running(*words: object, folder: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Run a command beside the test, then ask it to stop: it must do so, cleanly."""
    process = subprocess.Popen(
        [*WORKHORSE, *map(str, words)],
        cwd=folder,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        try:
            yield process
            process.send_signal(signal.SIGTERM)
            output, _ = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    assert process.returncode == 0, output


class Terminal:
    """One command on a terminal of its own, as seen by whoever sits before it."""

    def __init__(
        self,
        *words: object,
        folder: Path,
        columns: int = 100,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._screen, inside = pty.openpty()
        fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        inherited = {k: v for k, v in os.environ.items() if k not in {"NO_COLOR", "COLUMNS"}}
        self._process = subprocess.Popen(
            [sys.executable, "-c", _TAKE_TERMINAL, *WORKHORSE, *map(str, words)],
            cwd=folder,
            env=inherited | {"TERM": "xterm-256color"} | dict(environment or {}),
            stdin=inside,
            stdout=inside,
            stderr=inside,
            start_new_session=True,
        )
        os.close(inside)
        self.text = ""

    def press(self, keys: str) -> None:
        """Type `keys`; `CTRL_C` is one too."""
        os.write(self._screen, keys.encode())

    def hang_up(self) -> int:
        """Close it under the command; return the exit code."""
        os.close(self._screen)
        self._screen = -1
        return self._process.wait(PATIENCE)

    def until(self, text: str) -> Self:
        """Read until `text` has been shown."""
        while text not in self.text:
            assert self._read(), f"{text!r} was never shown, but\n{self.text}"
        return self

    def end(self) -> int:
        """Read to the end; return the exit code."""
        while self._read():
            pass
        return self._process.wait(PATIENCE)

    def _read(self) -> bool:
        """Take what is shown next; False when the program has let go of the terminal."""
        ready, _, _ = select.select([self._screen], [], [], PATIENCE)
        assert ready, f"nothing is shown any more, after\n{self.text}"
        try:
            shown = os.read(self._screen, 65536)
        except OSError:  # EIO: nobody has the other end open
            return False
        self.text += shown.decode(errors="replace")
        return bool(shown)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait(PATIENCE)
        if self._screen >= 0:
            os.close(self._screen)
