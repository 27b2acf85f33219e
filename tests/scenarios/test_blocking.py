"""A handler that holds the interpreter's lock is slow, not dead."""

from __future__ import annotations

import time

import pytest

from tests.scenarios.facts import eventually
from tests.scenarios.scene import Scene
from workhorse.domain.job import State

LEASE = 2.0


@pytest.mark.parametrize("kind", ["strangle", "strangle_thread"])
def test_a_blocked_child_is_not_taken_for_dead(scene: Scene, kind: str) -> None:
    """A job that blocks its process for two leases has one attempt, and ends when cancelled.

    What shares its process either ends well at its first attempt, or runs again with a reason.
    """
    for _ in range(2):
        scene.worker(lease=LEASE, renew=0.4, cancel_grace=0.5, concurrency=4)
    blocker = getattr(scene.jobs, kind).enqueue()
    started = scene.until_told("start", job=blocker.id)
    neighbours = [scene.jobs.nap.enqueue(0.2).id for _ in range(8)]

    eventually(lambda: time.monotonic_ns() - started.at > 2 * LEASE * 1e9)
    assert scene.state(blocker.id) is State.RUNNING
    assert scene.starts(blocker.id) == 1
    assert scene.attempts(blocker.id) == []
    assert not scene.events(None, "rescue", "worker_lost")

    blocker.cancel()
    assert scene.until(blocker.id).state is State.CANCELLED
    assert scene.starts(blocker.id) == 1
    for neighbour in neighbours:
        assert scene.until(neighbour).state is State.SUCCEEDED
        for attempt in scene.attempts(neighbour)[:-1]:
            assert attempt.outcome == "released"
            assert attempt.error, "a re-run of a neighbour needs its reason"
            assert "job" in attempt.error["message"], attempt.error


@pytest.mark.parametrize("kind", ["strangle", "strangle_thread"])
def test_a_blocked_child_is_ended_by_the_time_limit(scene: Scene, kind: str) -> None:
    """A time limit holds for a handler that never gives way: it is over, and so recorded."""
    scene.worker(lease=LEASE, renew=0.4, cancel_grace=0.3)
    job = getattr(scene.jobs, kind).using(timeout=1).enqueue()
    ended = scene.until(job.id)
    assert ended.state is State.FAILED
    assert scene.outcomes(job.id) == ["timed_out"]
    assert scene.starts(job.id) == 1
    after = scene.jobs.quick.enqueue("still here")
    assert scene.until(after.id).state is State.SUCCEEDED
