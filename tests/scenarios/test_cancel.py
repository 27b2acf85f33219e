"""What is cancelled, or over its time, ends: whatever it runs in, whoever asks."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.scenarios.facts import eventually
from tests.scenarios.scene import Scene
from tests.scenarios.workers import environment
from workhorse.domain.job import State

CANCEL = """
import sys
from workhorse import Workhorse
Workhorse().get(int(sys.argv[1])).cancel(reason=sys.argv[2])
"""


@pytest.mark.parametrize("kind", ["nap", "nap_thread", "nap_process", "polite", "tidy"])
def test_another_process_can_cancel_a_running_job(scene: Scene, kind: str) -> None:
    """A client in a process of its own cancels a job of any executor; the handler ends."""
    worker = scene.worker(cancel_grace=0.5, concurrency=2)
    job = getattr(scene.jobs, kind).enqueue(60)
    pid = scene.until_told("start", job=job.id).data["pid"]
    subprocess.run(
        [sys.executable, "-c", CANCEL, str(job.id), "a better one is on its way"],
        check=True,
        env=environment(scene.url),
        cwd=scene.folder,
    )
    ended = scene.until(job.id, within=15)
    assert ended.state is State.CANCELLED
    lines = eventually(
        lambda: [*worker.logs("job ended"), *worker.logs("job ended with its process")],
        what="a line about it",
    )
    assert [line["error"] for line in lines] == ["Cancelled: a better one is on its way"]
    assert scene.outcomes(job.id) == ["cancelled"]
    assert scene.starts(job.id) == 1
    if kind in {"nap_thread", "nap_process"}:
        # Neither looks whether it should stop: its process must be gone.
        assert pid not in {process.pid for process in worker.tree()}
    after = scene.jobs.quick.enqueue()
    assert scene.until(after.id).state is State.SUCCEEDED


@pytest.mark.parametrize(("kind", "limit"), [("nap", 0.6), ("nap_thread", 0.6), ("nap_process", 3)])
def test_a_time_limit_ends_the_attempt(scene: Scene, kind: str, limit: float) -> None:
    """An attempt over its limit is ended, recorded as timed out, and tried again.

    (A process that starts for it is a part of it, and may take a second where many do.)
    """
    worker = scene.worker(cancel_grace=0.4, concurrency=2)
    job = getattr(scene.jobs, kind).using(timeout=limit, max_attempts=2).enqueue(60)
    ended = scene.until(job.id)
    assert ended.state is State.FAILED
    assert scene.outcomes(job.id) == ["timed_out", "timed_out"]
    scene.until_told("start", job=job.id, count=2)
    assert scene.starts(job.id) == 2
    assert not scene.told("end", job=job.id)
    assert worker.exit_code is None


@pytest.mark.parametrize("how", ["cancel", "timeout"])
def test_a_handler_that_swallows_its_cancellation_costs_its_process(scene: Scene, how: str) -> None:
    """An async handler that ignores being cancelled is ended with its child.

    Its neighbours end well; one that must run again is told why, and not charged for it.
    """
    worker = scene.worker(cancel_grace=0.4, concurrency=4)
    deaf = scene.jobs.deaf
    job = (deaf.using(timeout=1.5) if how == "timeout" else deaf).enqueue(600)
    pid = scene.until_told("start", job=job.id).data["pid"]
    neighbours = [scene.jobs.nap.enqueue(3).id for _ in range(3)]
    scene.until_told("start", count=4)
    if how == "cancel":
        job.cancel()
    ended = scene.until(job.id)
    assert ended.state is (State.CANCELLED if how == "cancel" else State.FAILED)
    assert scene.told("swallowed", job=job.id)
    eventually(lambda: pid not in {process.pid for process in worker.tree()})
    for neighbour in neighbours:
        now = scene.until(neighbour)
        assert (now.state, now.failures) == (State.SUCCEEDED, 0)
        again = scene.attempts(neighbour)[:-1]
        for attempt in again:
            assert attempt.outcome == "released"
            assert attempt.error
            assert "did not end" in attempt.error["message"], attempt.error
    assert scene.starts(job.id) == 1


def test_a_waiting_job_is_cancelled_at_once(scene: Scene) -> None:
    """A job nobody has claimed is cancelled there and then, and never starts."""
    job = scene.jobs.quick.enqueue()
    job.cancel()
    assert scene.state(job.id) is State.CANCELLED
    scene.worker()
    assert scene.until(scene.jobs.quick.enqueue().id).state is State.SUCCEEDED
    assert scene.starts(job.id) == 0
