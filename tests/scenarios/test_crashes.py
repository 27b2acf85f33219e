"""A job that kills its process is found out; its neighbours and its worker are not hurt."""

from __future__ import annotations

import pytest

from tests.scenarios.scene import Scene
from workhorse.domain.job import State

DEATHS: dict[str, dict[str, object]] = {
    "kill": {"exit_signal": "SIGKILL"},
    "abort": {"exit_signal": "SIGABRT"},
    "exit": {"exit_code": 7},
}


@pytest.mark.parametrize("kind", ["killer", "killer_thread", "killer_process"])
def test_a_job_that_kills_its_process_fails_as_crashed(scene: Scene, kind: str) -> None:
    """Three deaths of a process with the job alone in it condemn the job; evidence is kept."""
    worker = scene.worker()
    for how, evidence in DEATHS.items():
        job = getattr(scene.jobs, kind).enqueue(how)
        ended = scene.until(job.id)
        assert ended.state is State.FAILED
        assert ended.outcome == "crashed"
        assert scene.outcomes(job.id) == ["crashed"] * 3
        for attempt in scene.attempts(job.id):
            assert attempt.error
            assert evidence.items() <= dict(attempt.error).items(), attempt.error
        scene.until_told("start", job=job.id, count=3)
        assert scene.starts(job.id) == 3
    after = scene.jobs.quick.enqueue("healthy")
    assert scene.until(after.id).state is State.SUCCEEDED
    assert worker.exit_code is None
    assert not scene.events(None, "rescue", "worker_lost")


def test_one_killer_among_fifty_is_found_out(scene: Scene) -> None:
    """The neighbours of a killer all succeed; only the killer is blamed."""
    good = [scene.jobs.nap.enqueue(60, again=0.02).id for _ in range(25)]
    killer = scene.jobs.killer.enqueue("kill")
    good += [scene.jobs.nap.enqueue(60, again=0.02).id for _ in range(25)]
    worker = scene.worker(concurrency=51)
    assert scene.until(killer.id, within=60).state is State.FAILED
    assert scene.job(killer.id).outcome == "crashed"
    assert scene.outcomes(killer.id).count("crashed") == 3
    for job in good:
        assert scene.until(job, within=60).state is State.SUCCEEDED
        assert scene.job(job).failures == 0
        for attempt in scene.attempts(job)[:-1]:
            assert attempt.outcome == "released"
            assert attempt.error, "a re-run of a neighbour needs its reason"
    assert worker.exit_code is None
