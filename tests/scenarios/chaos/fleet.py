"""The workers of a chaos run: a fixed number of berths, each with a worker that is kept running."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.scenarios.facts import eventually
from tests.scenarios.ledger import Ledger
from tests.scenarios.workers import WorkerProcess

APP = "tests.scenarios.apps.chaos:app"


class Berth:
    """One place for a worker. While a fault plays on it, it is `busy` and left to the nemesis."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.worker: WorkerProcess | None = None
        self.busy = False
        self.start_at = 0.0
        self.started = 0.0
        """When its worker was started."""

    @property
    def is_running(self) -> bool:
        return self.worker is not None and self.worker.exit_code is None

    @property
    def is_at_work(self) -> bool:
        """Whether the worker runs and has a lease: its warden is there."""
        return self.is_running and self.worker is not None and bool(self.worker.wardens())


class Fleet:
    """All berths, and the log files of every worker that ever lay there."""

    def __init__(
        self, folder: Path, url: str, ledger: Ledger, count: int, settings: Mapping[str, Any]
    ) -> None:
        self._folder = folder
        self._url = url
        self._ledger = ledger
        self._settings = settings
        self.berths = [Berth(n) for n in range(count)]
        self.logs: list[Path] = []
        self.started = 0

    def keep(self) -> None:
        """Start a worker wherever one is due; an end that nobody wanted is told to the ledger."""
        for berth in self.berths:
            if berth.busy or berth.is_running:
                continue
            if berth.worker is not None:
                self.tell_exit(berth.worker, asked="", since=berth.started)
                self.clear(berth)
            if time.monotonic() >= berth.start_at:
                self._start(berth)

    def tell_exit(self, worker: WorkerProcess, *, asked: str, since: float) -> None:
        """Tell the ledger that a worker has ended as it should not; `since` is monotonic."""
        code, ns = worker.exit_code, int(since * 1e9)
        self._ledger.tell("exit", worker=worker.pid, code=code, asked=asked, since=ns)

    def _start(self, berth: Berth) -> None:
        worker = WorkerProcess(
            self._folder, self._url, APP, ledger=self._ledger.where, **self._settings
        )
        self.logs.append(worker.log_file)
        berth.started = time.monotonic()
        berth.worker = worker.start()
        self.started += 1
        self._ledger.tell("worker", pid=worker.pid, berth=berth.number)

    def clear(self, berth: Berth, *, wait: float = 0.0) -> None:
        """Take away what is left of a worker that has ended; the next starts in `wait` seconds."""
        if berth.worker is not None:
            berth.worker.kill()
        berth.worker = None
        berth.busy = False
        berth.start_at = time.monotonic() + wait

    def stop(self) -> None:
        """Have every worker drain."""
        for berth in self.berths:
            if berth.worker is not None and berth.is_running:
                self._drain(berth, berth.worker)
            self.clear(berth)

    def _drain(self, berth: Berth, worker: WorkerProcess) -> None:
        """Ask a worker to end; one that is only starting cannot be asked yet."""
        eventually(lambda: berth.is_at_work or not berth.is_running)
        asked = time.monotonic()
        if worker.stop(60) != 0:
            self.tell_exit(worker, asked="the last stop", since=asked)

    def kill(self) -> None:
        """End everything, whatever happened."""
        for berth in self.berths:
            if berth.worker is not None:
                berth.worker.kill()
