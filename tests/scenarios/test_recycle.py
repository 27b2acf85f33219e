"""A child is replaced by a fresh one now and then, and no job notices."""

from __future__ import annotations

from typing import Any

import pytest

from tests.scenarios.facts import eventually
from tests.scenarios.scene import Scene
from workhorse.domain.job import State


def undisturbed(scene: Scene, jobs: list[int]) -> None:
    """Wait for jobs that must each have begun just once; what was only claimed is handed back."""
    for job in jobs:
        assert scene.until(job, within=60).state is State.SUCCEEDED
        *before, last = scene.outcomes(job)
        assert (set(before) - {"released"}, last) == (set(), "ok")
        assert scene.starts(job) == 1


@pytest.mark.parametrize("settings", [{"max_jobs": 10}, {"max_time": 1.0}], ids=str)
def test_recycling_hurts_no_job(scene: Scene, settings: dict[str, Any]) -> None:
    """After so many jobs, or so long, a child ends what it runs and is replaced."""
    worker = scene.worker(concurrency=4, **settings).ready()
    naps = [scene.jobs.nap.bind(0.15) for _ in range(40)]
    naps += [scene.jobs.nap_thread.bind(0.15) for _ in range(20)]
    undisturbed(scene, [handle.id for handle in scene.app.enqueue_many(naps)])
    pids = {entry.data["pid"] for entry in scene.told("start")}
    assert len(pids) >= 2, "no child was replaced"
    assert worker.exit_code is None


def test_a_child_that_has_grown_is_replaced(scene: Scene) -> None:
    """A child whose memory is above its limit ends what it runs and is replaced."""
    worker = scene.worker(concurrency=2, max_memory_mib=200).ready()
    slow = scene.jobs.nap.enqueue(1.5)
    scene.until_told("start", job=slow.id)
    hoard = scene.jobs.hoard.enqueue(300)
    undisturbed(scene, [hoard.id])
    eventually(
        lambda: scene.result(hoard.id) not in {child.pid for child in worker.children()},
        what="the child that hoards to be replaced",
    )
    undisturbed(scene, [slow.id])
    undisturbed(scene, [scene.jobs.quick.enqueue().id])
    assert worker.exit_code is None
