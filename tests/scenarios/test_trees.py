"""An attempt that is over is over with everything it started."""

from __future__ import annotations

from tests.scenarios import procs
from tests.scenarios.facts import eventually
from tests.scenarios.ledger import Entry
from tests.scenarios.scene import Scene
from tests.scenarios.workers import WorkerProcess
from workhorse.domain.job import State

FAMILY = 4
"""The handler's process, its child, that one's child in its own session, and a go-between that
has already gone: at least three can be seen."""


def family(worker: WorkerProcess, handler: int) -> set[int]:
    """Return the handler's process and all of its worker's tree that are not the engine's."""
    engine = {worker.pid, *(p.pid for p in procs.children(worker.pid))}
    engine |= {p.pid for child in worker.children() for p in procs.children(child.pid)} - {handler}
    return {p.pid for p in worker.tree()} - engine


def whole_family(scene: Scene, worker: WorkerProcess, job: int, attempt: int) -> set[int]:
    """Wait until the attempt's descendants are there, the one in its own session too."""
    start = scene.until_told("start", job=job, attempt=attempt)
    handler = int(start.data["pid"])

    def whole() -> set[int]:
        seen = family(worker, handler)
        sessions = {process.session for pid in seen if (process := procs.look(pid))}
        return seen if len(sessions) > 1 and len(seen) >= FAMILY - 1 else set()

    return eventually(whole, what="the handler's descendants, one in a session of its own")


def test_no_process_of_a_timed_out_attempt_lives_when_the_next_one_starts(scene: Scene) -> None:
    """A handler that ignores SIGTERM, with descendants that left its session, is over all the same.

    The second attempt's first act finds none of them alive.
    """
    worker = scene.worker(cancel_grace=0.5, concurrency=2)
    job = scene.jobs.stubborn.enqueue()
    first = whole_family(scene, worker, job.id, attempt=1)
    survivors: list[int] = eventually(
        lambda: [-1, *procs.living(first)] if scene.told("start", job=job.id, attempt=2) else [],
        every=0.002,
        what="a second attempt",
    )
    assert survivors == [-1], "processes of the first attempt lived when the second started"

    second = whole_family(scene, worker, job.id, attempt=2)
    assert not first & second
    assert scene.until(job.id).state is State.FAILED
    assert procs.living(second) == []
    assert scene.outcomes(job.id) == ["timed_out", "timed_out"]
    starts: list[Entry] = scene.told("start", job=job.id)
    assert [entry.data["attempt"] for entry in starts] == [1, 2]


def test_no_process_of_a_cancelled_attempt_lives_when_it_is_settled(scene: Scene) -> None:
    """When a process job is recorded as cancelled, its whole tree is gone."""
    worker = scene.worker(cancel_grace=0.3)
    job = scene.jobs.stubborn.using(timeout=60).enqueue()
    tree = whole_family(scene, worker, job.id, attempt=1)
    job.cancel()
    assert scene.until(job.id).state is State.CANCELLED
    assert procs.living(tree) == []
    assert scene.outcomes(job.id) == ["cancelled"]


def test_nothing_lives_on_after_a_clean_stop(scene: Scene) -> None:
    """A drained worker leaves no process behind, not even one that ignores SIGTERM."""
    worker = scene.worker(cancel_grace=0.3, shutdown_timeout=0.5)
    job = scene.jobs.stubborn.using(timeout=60).enqueue()
    whole_family(scene, worker, job.id, attempt=1)
    assert worker.stop() == 0
    assert worker.tree() == []
    assert scene.state(job.id) is State.AVAILABLE
