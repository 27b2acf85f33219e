"""A client that insists, and what became of the jobs that were acknowledged to it."""

from __future__ import annotations

import random
import threading
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from tests.scenarios.chaos.content import read_content
from tests.scenarios.facts import eventually
from tests.scenarios.oracle import SECOND, Content
from tests.scenarios.scene import Scene
from workhorse.domain.errors import Unavailable
from workhorse.domain.job import FINAL

CHUNK = 20


class Producer(threading.Thread):
    """Enqueues a mix of short jobs at an even pace; what is refused it enqueues again.

    What was refused for want of an answer may be there all the same: it was never acknowledged.
    """

    def __init__(self, scene: Scene, jobs: int, seconds: float) -> None:
        super().__init__(name="producer")
        self.acknowledged: list[int] = []
        self.refusals: list[Unavailable] = []
        self._scene = scene
        self._jobs = jobs
        self._seconds = seconds
        self._chance = random.Random(1)
        self._enough = threading.Event()

    def run(self) -> None:
        start = time.monotonic()
        for done in range(0, self._jobs, CHUNK):
            due = start + self._seconds * done / self._jobs
            if self._enough.wait(max(0.0, due - time.monotonic())):
                return
            self._insist([self._one(n) for n in range(min(CHUNK, self._jobs - done))])

    def stop(self) -> None:
        """Let it be enough."""
        self._enough.set()
        self.join()

    def _one(self, place: int) -> Any:
        kinds, seconds = self._scene.jobs, self._chance.uniform(0, 0.2)
        kind = {0: kinds.nap, 1: kinds.nap_thread}.get(place)
        return kind.bind(seconds) if kind else kinds.quick.bind(place)

    def _insist(self, jobs: Sequence[Any]) -> None:
        while not self._enough.is_set():
            try:
                self.acknowledged += [one.id for one in self._scene.app.enqueue_many(jobs)]
                return
            except Unavailable as refusal:
                self.refusals.append(refusal)
                self._enough.wait(0.05)


@dataclass(frozen=True)
class Account:
    """What the store and the ledger say in the end of jobs that may not fail."""

    content: Content
    lost: Collection[int]
    """Acknowledged, and not recorded as succeeded."""
    twice: Collection[int]
    """Recorded as succeeded more than once."""
    unproven: Collection[int]
    """Recorded as succeeded, and no handler ever finished."""
    again: int
    """Starts beyond one for each attempt."""

    def __str__(self) -> str:
        return (
            f"{len(self.content.jobs)} jobs, {len(self.content.attempts)} attempts: "
            f"{len(self.lost)} lost, {len(self.twice)} recorded twice, {self.again} started again"
        )

    @property
    def is_clean(self) -> bool:
        """Whether every job there is has succeeded, once."""
        states = {end.state for end in self.content.jobs.values()}
        return not (self.lost or self.twice or self.unproven) and states == {"succeeded"}

    def resumed_after(self, at: int) -> float:
        """Return how many seconds after an instant (monotonic ns) the next job was claimed."""
        claims = sorted(end.claimed for end in self.content.attempts)
        return (claims[bisect_right(claims, at)] - at) / SECOND


def settle_account(scene: Scene, acknowledged: Collection[int], *, within: float = 60) -> Account:
    """Wait until nothing is unfinished, and say what became of everything."""

    def over() -> bool:
        counts = scene.store.counts()
        return not any(number for state, number in counts.items() if state not in FINAL)

    eventually(patient(over), within=within, every=0.2, what="every job to end")
    content = read_content(scene.store)
    ended = {entry.data["job"] for entry in scene.ledger.entries("end")}
    starts = Counter((e.data["job"], e.data["attempt"]) for e in scene.ledger.entries("start"))
    return Account(
        content,
        lost=[job for job in acknowledged if job not in content.completes],
        twice=[job for job, attempts in content.completes.items() if len(attempts) > 1],
        unproven=content.completes.keys() - ended,
        again=starts.total() - len(starts),
    )


def patient(look: Callable[[], bool]) -> Callable[[], bool]:
    """Return `look` for a store that may be out of reach: then it is not true yet."""

    def looked() -> bool:
        try:
            return look()
        except Unavailable:
            return False

    return looked
