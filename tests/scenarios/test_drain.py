"""A worker that is told to end hands back what it does not finish, and loses nothing."""

from __future__ import annotations

import os
import random
import signal
import time

import pytest

from tests.scenarios.facts import eventually
from tests.scenarios.scene import Scene
from workhorse.domain.job import State
from workhorse.store.protocol import JobFilter

REPEATS = int(os.environ.get("SCENARIO_REPEATS", "20"))
PARTS = 4
GRACE = 1.0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("kind", ["nap", "nap_thread", "nap_process"])
def test_twenty_running_jobs_are_handed_back(
    scene: Scene, kind: str, number: signal.Signals
) -> None:
    """SIGTERM or SIGINT with 20 jobs running: exit 0 within the grace, all available, no cost."""
    count = 20 if kind != "nap_process" else 4
    worker = scene.worker(concurrency=count, shutdown_timeout=GRACE, cancel_grace=0.3)
    jobs = [getattr(scene.jobs, kind).enqueue(60).id for _ in range(count)]
    scene.until_told("start", count=count)
    asked = time.monotonic()
    worker.send(number)
    assert worker.wait() == 0
    took = time.monotonic() - asked
    assert took < GRACE + 2, f"the drain took {took:.1f} s"
    for job in jobs:
        now = scene.job(job)
        assert (now.state, now.failures, now.lost, now.crashes) == (State.AVAILABLE, 0, 0, 0)
        assert scene.outcomes(job) == ["released"]
    assert worker.tree() == []


def test_jobs_that_end_within_the_grace_are_finished(scene: Scene) -> None:
    """A drain waits for what can still finish, claims nothing new, and ends as soon as it can."""
    worker = scene.worker(concurrency=5, shutdown_timeout=20)
    running = [scene.jobs.nap.enqueue(0.8).id for _ in range(5)]
    scene.until_told("start", count=5)
    waiting = [scene.jobs.quick.enqueue().id for _ in range(5)]
    asked = time.monotonic()
    assert worker.stop() == 0
    assert time.monotonic() - asked < 10, "it waited for the whole grace"
    assert {scene.state(job) for job in running} == {State.SUCCEEDED}
    assert {scene.outcomes(job)[-1] for job in running} == {"ok"}
    assert {scene.state(job) for job in waiting} == {State.AVAILABLE}


def test_a_second_signal_ends_the_patience(scene: Scene) -> None:
    """Asked twice, a worker waits no longer: it cancels, releases, and still exits 0."""
    worker = scene.worker(concurrency=4, shutdown_timeout=60, cancel_grace=0.5)
    jobs = [scene.jobs.nap.enqueue(60).id for _ in range(4)]
    scene.until_told("start", count=4)
    worker.send(signal.SIGTERM)
    eventually(lambda: worker.exit_code is None and scene.store.workers()[0].state == "draining")
    asked = time.monotonic()
    worker.send(signal.SIGTERM)
    assert worker.wait() == 0
    assert time.monotonic() - asked < 10
    for job in jobs:
        assert (scene.state(job), scene.job(job).failures) == (State.AVAILABLE, 0)


def test_handlers_may_tidy_up(scene: Scene) -> None:
    """An async handler that is cut at the end of the grace runs its `finally` block."""
    worker = scene.worker(shutdown_timeout=0.5)
    job = scene.jobs.tidy.enqueue(60)
    scene.until_told("start", job=job.id)
    assert worker.stop() == 0
    assert scene.told("tidied", job=job.id)
    assert scene.state(job.id) is State.AVAILABLE


@pytest.mark.heavy
@pytest.mark.timeout(60 + 6 * REPEATS)
@pytest.mark.parametrize("part", range(PARTS))
def test_nothing_is_lost_whenever_the_signal_comes(scene: Scene, part: int) -> None:
    """SIGTERM at random instants, again and again: exit 0, nothing lost, nothing charged."""
    seed = int(os.environ.get("SCENARIO_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
    print(f"SCENARIO_SEED={seed} SCENARIO_REPEATS={REPEATS}, part {part} of {PARTS}")
    chance = random.Random(f"{seed} {part}")
    repeats = len(range(part, REPEATS, PARTS))
    jobs: list[int] = []
    slowest = 0.0
    for _ in range(repeats):
        waiting = sum(not job.is_finished for job in scene.store.list_jobs(JobFilter(), limit=1000))
        new = [scene.jobs.nap.bind(chance.uniform(0, 1.5)) for _ in range(30 - waiting)]
        jobs += [handle.id for handle in scene.app.enqueue_many(new)]
        worker = scene.worker(concurrency=20, shutdown_timeout=0.4, cancel_grace=0.2)
        if chance.random() < 0.8:
            seen = len(scene.told("start"))
            eventually(lambda seen=seen: len(scene.told("start")) > seen)  # type: ignore[misc]
        time.sleep(chance.uniform(0, 0.7))
        asked = time.monotonic()
        code = worker.stop()
        # Before its first words the interpreter itself is still starting, and dies as any does.
        assert code == 0 or (code == -signal.SIGTERM and not worker.text()), worker.text()
        slowest = max(slowest, time.monotonic() - asked)
        assert worker.tree() == []
        worker.kill()
        assert not scene.store.list_jobs(JobFilter(states=[State.RUNNING]))
    released = 0
    for job in jobs:
        now = scene.job(job)
        assert now.state in {State.AVAILABLE, State.SUCCEEDED}, now
        assert (now.failures, now.lost, now.crashes) == (0, 0, 0), now
        outcomes = scene.outcomes(job)
        released += outcomes.count("released")
        assert set(outcomes) <= {"released", "ok"}
        assert len(scene.events(job, "complete")) == (now.state is State.SUCCEEDED)
        assert len(scene.told("end", job=job)) >= (now.state is State.SUCCEEDED)
    done = sum(scene.state(job) is State.SUCCEEDED for job in jobs)
    print(
        f"{repeats} drains: {len(jobs)} jobs, {done} done, {released} handed back, 0 lost; ", end=""
    )
    print(f"slowest drain {slowest:.2f} s")
