"""What a handler may ask for: again later, never again, and again after a failure."""

from __future__ import annotations

from tests.scenarios.scene import Scene
from workhorse.domain.job import State


def test_a_snooze_costs_nothing(scene: Scene) -> None:
    """A job that snoozes more often than its budget allows failures still succeeds."""
    scene.worker()
    job = scene.jobs.snoozer.enqueue(3)
    ended = scene.until(job.id)
    assert (ended.state, ended.failures, ended.max_attempts) == (State.SUCCEEDED, 0, 1)
    assert scene.outcomes(job.id) == ["snoozed", "snoozed", "snoozed", "ok"]
    assert scene.result(job.id) == 4


def test_a_reject_is_final(scene: Scene) -> None:
    """A rejected job fails at its first attempt, with its reason, whatever its budget."""
    scene.worker()
    job = scene.jobs.refuser.enqueue()
    ended = scene.until(job.id)
    assert ended.state is State.FAILED
    assert scene.outcomes(job.id) == ["rejected"]
    assert ended.error
    assert "no such customer" in ended.error["message"]


def test_failures_are_retried_within_the_budget(scene: Scene) -> None:
    """Fewer failures than the budget: it succeeds. As many: it fails, and each error is kept."""
    scene.worker()
    lucky = scene.jobs.stumbler.enqueue(4)
    unlucky = scene.jobs.stumbler.enqueue(5)
    assert scene.until(lucky.id).state is State.SUCCEEDED
    assert scene.outcomes(lucky.id) == ["error"] * 4 + ["ok"]
    assert scene.until(unlucky.id).state is State.FAILED
    assert scene.outcomes(unlucky.id) == ["error"] * 5
    messages = [attempt.error["message"] for attempt in scene.attempts(unlucky.id) if attempt.error]
    assert messages == [f"stumbled at attempt {n}" for n in range(1, 6)]


def test_a_failed_job_can_be_requeued(scene: Scene) -> None:
    """Requeued, a failed job has its whole budget again, and its attempt number goes on."""
    scene.worker()
    job = scene.jobs.stumbler.enqueue(7)
    assert scene.until(job.id).state is State.FAILED
    job.requeue()
    ended = scene.until(job.id)
    assert (ended.state, ended.attempt) == (State.SUCCEEDED, 8)
