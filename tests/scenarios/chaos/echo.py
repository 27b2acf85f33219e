"""The echo: the late writes of attempts that were superseded, as a network that held them back.

A thawed process tries such a write only when it comes to it before it ends; this one always does.
"""

from __future__ import annotations

import time
from typing import Final

from workhorse.domain.errors import Unavailable
from workhorse.domain.job import Claimed
from workhorse.domain.outcome import Completed
from workhorse.domain.transitions import settle
from workhorse.store.protocol import Settled, Store

EVERY: Final = 0.5
"""Seconds between two looks at what runs."""
MOST: Final = 100
"""Writes that are tried."""


class Echo:
    """Remembers who ran what, and says in the end for each re-run attempt that it succeeded."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seen: dict[tuple[int, int], tuple[int, Claimed]] = {}
        self._looked = 0.0

    def listen(self) -> None:
        """Look at what runs, now and then; a store that is away is looked at later."""
        if time.monotonic() - self._looked < EVERY:
            return
        self._looked = time.monotonic()
        try:
            for worker in self._store.workers():
                for job in self._store.held(worker.id):
                    self._seen[job.id, job.attempt] = worker.id, job
        except Unavailable:
            return

    def write(self) -> int:
        """Try the writes; return how many there were. Each must be refused as stale."""
        tried = 0
        for fence, (worker, job) in self._seen.items():
            now = self._store.get(job.id)
            if now is None or now.attempt <= job.attempt:
                continue
            turn = self._store.turn(worker, [Settled(*fence, settle(job, Completed()))], [], None)
            assert list(turn.stale) == [fence], f"{fence} of worker {worker} was written too late"
            tried += 1
            if tried == MOST:
                break
        return tried
