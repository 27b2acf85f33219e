"""A server or helper of a test: a process that cannot outlive it."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.scenarios import procs
from tests.scenarios.facts import PATIENCE
from tests.services.ports import PortTaken

KEEPER: Final = Path(__file__).with_name("keeper.py")
IN_USE: Final = "Address already in use"
"""What a server says whose port is taken."""


def account() -> str | None:
    """The account servers run under; None stands for our own, which will do when it is not root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def give(folder: Path, user: str | None) -> None:
    """Let `user` own the folder, and everybody look into it."""
    folder.chmod(0o755)
    if user is not None:
        shutil.chown(folder, user)


class Process:
    """One running command. When this test's process is gone it is ended, and its folders removed.

    It runs in `folder` and appends what it says to `log`. `within` is a command to run it by, as
    `Host.inside` gives one. As a context manager it is killed on leaving.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        folder: Path,
        log: Path,
        user: str | None = None,
        within: Sequence[str] = (),
        farewell: signal.Signals = signal.SIGTERM,
        remove: Iterable[Path] = (),
    ) -> None:
        self.log = log
        program: list[str | Path] = [
            *within,
            sys.executable,
            "-I",
            "-S",
            KEEPER,
            f"--farewell={farewell:d}",
        ]
        program += [f"--user={user}"] if user else []
        program += [f"--remove={folder}" for folder in remove]
        with log.open("ab") as output:
            self._keeper = subprocess.Popen(
                [*program, "--", *command],
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                start_new_session=True,
            )
        assert self._keeper.stdout is not None
        with self._keeper.stdout as line:
            self.pid = int(line.readline() or 0)
        assert self.pid, f"{command[0]} did not start: {log.read_text()}"

    @property
    def is_alive(self) -> bool:
        return self._keeper.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Signal the command, unless it has ended."""
        if self.is_alive:
            procs.send(self.pid, number)

    def until(self, is_up: Callable[[], bool]) -> None:
        """Wait until it is up. Raises `PortTaken`, or `AssertionError` with what it said."""
        deadline = time.monotonic() + PATIENCE
        while not is_up():
            time.sleep(0.01)
            has_ended, said = not self.is_alive, self.log.read_text(errors="replace")
            if has_ended or time.monotonic() > deadline:
                self.kill()
                raise PortTaken(said) if has_ended and IN_USE in said else AssertionError(said)

    def wait(self, within: float = PATIENCE) -> int:
        """Return the exit code; 128 and the signal's number when a signal ended it."""
        code = self._keeper.wait(within)
        assert self._keeper.stdin is not None
        self._keeper.stdin.close()
        return code

    def kill(self) -> None:
        """End it now. Twice is once."""
        self.send(signal.SIGKILL)
        self.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
