"""A worker as an operator runs it: `workhorse worker`, a real process, told by its environment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from tests.scenarios import procs
from tests.scenarios.facts import PATIENCE, eventually
from tests.scenarios.ledger import WHERE

REPOSITORY = Path(__file__).resolve().parents[2]
MARK = "SCENARIO_WORKER"
"""Set in the supervisor's environment, so that whatever descends from it can be found."""


def environment(url: str, ledger: str | None = None, **more: str) -> dict[str, str]:
    """Return what a process of a scenario starts with: nothing of the developer's own settings."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("WORKHORSE_", "SCENARIO_"))}
    clean |= {"PYTHONPATH": str(REPOSITORY), "WORKHORSE_DATABASE_URL": url, **more}
    # A process started for a scenario writes no bytecode beside the sources of others.
    clean |= {"PYTHONDONTWRITEBYTECODE": "1"} if "PYTHONDONTWRITEBYTECODE" in os.environ else {}
    return clean if ledger is None else clean | {WHERE: ledger}


def variables(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return settings as the environment variables `workhorse worker` reads."""
    texts = {
        name: ",".join(value) if isinstance(value, list | tuple) else str(value)
        for name, value in settings.items()
    }
    return {f"WORKHORSE_{name.upper()}": text for name, text in texts.items()}


class WorkerProcess:
    """One `workhorse worker`. A context manager that leaves no process behind, stopped or not.

    `settings` are those of the command, by name (``lease=2``); `flags` are given to it as they are.
    It is run by `within`, a command that goes on as it, if one is given; `extra` joins its
    environment. Its log lines go to a file
    in `folder`; `logs()` reads them.
    """

    def __init__(
        self,
        folder: Path,
        url: str,
        app: str,
        *,
        ledger: str | None = None,
        extra: Mapping[str, str] | None = None,
        within: Sequence[str] = (),
        flags: Sequence[str] = (),
        **settings: Any,
    ) -> None:
        self._folder = folder
        self._program = [*within, sys.executable, "-m", "workhorse", "worker", *flags]
        self._mark = uuid.uuid4().hex
        self.log_file = folder / f"worker-{self._mark[:8]}.log"
        quick: dict[str, Any] = {"restart_delay": 0.1, "log_format": "json"}
        self._environment = environment(
            url,
            ledger,
            **variables({"app": app} | quick | settings),
            **{MARK: self._mark},
            **(extra or {}),
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._output: IO[bytes] | None = None

    def start(self) -> Self:
        """Start it, and return at once."""
        self._output = self.log_file.open("ab")
        self._process = subprocess.Popen(
            self._program,
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )
        return self

    @property
    def popen(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "not started"
        return self._process

    @property
    def pid(self) -> int:
        """The supervisor's."""
        return self.popen.pid

    @property
    def exit_code(self) -> int | None:
        """What it ended with; None while it runs."""
        return self.popen.poll()

    def send(self, number: signal.Signals) -> None:
        """Signal the supervisor."""
        procs.send(self.pid, number)

    def wait(self, within: float = PATIENCE) -> int:
        """Return the exit code; fail, with its log, when it has not ended `within` seconds."""
        try:
            return self.popen.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"the worker has not ended within {within:g} s:\n{self.text()}"
            ) from None

    def stop(self, within: float = PATIENCE) -> int:
        """Ask it to end, as a deploy does, and return its exit code."""
        self.send(signal.SIGTERM)
        return self.wait(within)

    def tree(self) -> list[procs.Process]:
        """Return every living process that descends from it, itself included."""
        return procs.marked(MARK, self._mark)

    def below(self) -> list[procs.Process]:
        """Return its tree without the supervisor."""
        return [process for process in self.tree() if process.pid != self.pid]

    def children(self) -> list[procs.Process]:
        """Return the processes that run handlers: the supervisor's own, but the warden."""
        return [
            process
            for process in procs.children(self.pid)
            if "warden" not in process.command and "resource_tracker" not in process.command
        ]

    def wardens(self) -> list[procs.Process]:
        """Return the living warden, when there is one."""
        return [p for p in procs.children(self.pid) if "warden" in p.command]

    def text(self) -> str:
        """Return everything it wrote."""
        return self.log_file.read_text(errors="replace")

    def logs(self, event: str | None = None) -> list[dict[str, Any]]:
        """Return its JSON log lines; only those of `event`, when one is named."""
        lines = []
        for line in self.text().splitlines():
            if line.startswith("{"):
                try:
                    lines.append(json.loads(line))
                except ValueError:
                    continue
        return [line for line in lines if event is None or line.get("event") == event]

    def ready(self) -> Self:
        """Wait until every child it was told to have is there."""
        wanted = int(self._environment.get("WORKHORSE_PROCESSES", "1"))
        eventually(lambda: len(self.children()) >= wanted, what=f"{wanted} children")
        return self

    def kill(self) -> None:
        """End whatever is left of it, by pid, in whatever state it is. Twice is once."""
        process, self._process = self._process, None
        if process is None:
            return
        for _ in range(100):
            left = procs.marked(MARK, self._mark)
            procs.end(left)
            if not left and process.poll() is not None:
                break
            process.poll()
        process.wait(PATIENCE)
        if self._output is not None:
            self._output.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            # pytest shows it where a test has failed
            print(f"--- log of worker {self.pid} ---\n{self.text()[-8000:]}")
        self.kill()
