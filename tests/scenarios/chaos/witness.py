"""The witness: writes to the store as a renewal does, and tells when there was no time for it.

A worker that cannot renew its lease in time ends its children: that is no defect where nobody
could have written. The witness is no part of the system: what it could not do, nobody could.
While the store is out of reach it tries again and again, as a worker does.
"""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Final, Self

from tests.scenarios.ledger import Ledger
from workhorse.domain.errors import Unavailable
from workhorse.store.protocol import ClientStore

EVERY: Final = 0.25
AGAIN: Final = 0.1
PATIENCE: Final = 0.5
"""Seconds two writes may take: they take a few milliseconds on a machine at rest."""
QUEUE: Final = "witness"


class Witness:
    """Tells the ledger of writes that took too long; a context manager."""

    def __init__(self, store: ClientStore, ledger: Ledger) -> None:
        self._store = store
        self._ledger = ledger
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="witness")
        self.slowest = 0.0

    def _watch(self) -> None:
        while not self._over.wait(EVERY):
            since = time.monotonic()
            while not (self._has_written() or self._over.wait(AGAIN)):
                pass
            took = time.monotonic() - since
            self.slowest = max(self.slowest, took)
            if took > PATIENCE:
                self._ledger.tell("starved", since=int(since * 1e9))

    def _has_written(self) -> bool:
        try:
            self._store.pause(QUEUE)
            self._store.resume(QUEUE)
        except Unavailable:
            return False
        return True

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
