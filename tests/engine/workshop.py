"""A worker's child in the test's own process: the real loop, store and executors, no supervisor."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from tests.engine import kinds
from tests.store import hands
from workhorse.domain.job import Enqueued, Job, NewJob, State
from workhorse.engine.board import Board
from workhorse.engine.child_loop import ChildLoop
from workhorse.engine.config import WorkerConfig
from workhorse.kind import Kind
from workhorse.store.protocol import Store

T = TypeVar("T")
PATIENCE = 20.0


async def eventually(look: Callable[[], T], *, within: float = PATIENCE, what: str = "") -> T:
    """Return the first truthy answer of `look`, the loop going on meanwhile."""
    deadline = time.monotonic() + within
    while not (seen := look()):
        assert time.monotonic() < deadline, f"not within {within:g} s: {what or look}"
        await asyncio.sleep(0.005)
    return seen


class Workshop:
    """One child at work: a context manager that drains it, and ends what would not end."""

    def __init__(
        self,
        store: Store,
        folder: Path,
        *,
        solo: bool = False,
        lease: float = 600.0,
        **config: Any,
    ) -> None:
        self.store = store
        self.folder = folder
        self.config = WorkerConfig(
            app="tests.engine.kinds:app",
            **({"poll_interval": 0.05, "cancel_grace": 0.2, "concurrency": 4} | config),
        )
        self.board = Board.create(1 if solo else self.config.concurrency)
        self.id = hands.Worker(store, lease=lease).id
        self._solo = solo
        self.condemned = 0
        self.lease_lost = 0
        self.child: ChildLoop
        self.running: asyncio.Task[None]

    async def __aenter__(self) -> Self:
        self.child = ChildLoop(
            self.store,
            kinds.app.specs,
            self.config,
            self.board,
            worker=self.id,
            child=1,
            solo=self._solo,
        )
        self.child.on_condemned = self._condemned
        self.child.on_lease_lost = self._lease_lost
        self.running = asyncio.create_task(self.child.run())
        return self

    def _condemned(self) -> None:
        self.condemned += 1

    def _lease_lost(self) -> None:
        self.lease_lost += 1

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.child.abandon("the test is over")
        await asyncio.wait({self.running}, timeout=PATIENCE)
        self.board.close()
        if kind is None:
            self.running.result()

    def put(self, kind: Kind[Any, Any], *args: Any, **facts: Any) -> int:
        """Enqueue a job of `kind`, and return its id."""
        (answer,) = self.store.enqueue([job(kind, *args, **facts)])
        return answer.id

    def put_many(self, jobs: Sequence[NewJob]) -> list[int]:
        answers: list[Enqueued] = self.store.enqueue(jobs)
        return [answer.id for answer in answers]

    async def until(self, job_id: int, *states: State) -> Job:
        """Wait until the job is in one of `states` (default: any final one)."""
        wanted = states or (State.SUCCEEDED, State.FAILED, State.CANCELLED)

        def look() -> bool:
            self.store.promote()  # a supervisor's pass, so that a retry comes soon
            return hands.state(self.store, job_id) in wanted

        await eventually(look, what=f"job {job_id} to be {'/'.join(wanted)}")
        return hands.the(self.store, job_id)

    async def until_heard(self, name: str, count: int = 1) -> list[str]:
        """Wait until handlers have told so many lines under `name`."""
        await eventually(lambda: len(self.heard(name)) >= count, what=f"{count} × {name}")
        return self.heard(name)

    def heard(self, name: str) -> list[str]:
        return kinds.heard(name, self.folder)

    def go_on(self, name: str) -> None:
        """Let handlers go on that wait for `name`."""
        with (self.folder / "go on").open("a") as file:
            file.write(f"{name}\n")

    def outcomes(self, job_id: int) -> list[str]:
        return [str(attempt.outcome) for attempt in self.store.attempts(job_id)]

    def lines(self, job_id: int) -> list[str]:
        """Return the messages of a job's log."""
        events = self.store.events(job_id=job_id, limit=100_000)
        return [event.data["message"] for event in events if event.name == "log"]


def job(kind: Kind[Any, Any], *args: Any, **facts: Any) -> NewJob:
    """Return a job of `kind`, with `facts` of the order changed."""
    return replace(kind.bind(*args).order.job, **facts)
