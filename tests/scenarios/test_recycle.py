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
    naps = [scene.jobs.nap.bind(0.15) for _ in range(20)]
    naps += [scene.jobs.nap_thread.bind(0.15) for _ in range(10)]
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


@pytest.mark.parametrize("settings", [{"max_jobs": 2}, {"max_memory_mib": 120}], ids=str)
def test_children_that_are_replaced_leave_room_for_no_more(
    scene: Scene, settings: dict[str, Any]
) -> None:
    """While a child ends what it runs, the one in its place uses only the slots that are free.

    So however often children are replaced, no more jobs run at a time than the worker has slots,
    and each slot that is free is used.
    """
    worker = scene.worker(concurrency=3, **settings).ready()
    most = 0
    naps = [scene.jobs.nap_thread.bind(2.5), scene.jobs.nap_thread.bind(1.5)]
    grown = [scene.jobs.hoard.bind(150) for _ in range(2)]
    handles = scene.app.enqueue_many([*naps, *grown, *naps, *grown, *naps, *grown])
    for handle in handles:
        assert scene.until(handle.id, within=60).state is State.SUCCEEDED
    told = [*scene.told("start"), *scene.told("end")]
    running = 0
    for entry in sorted(told, key=lambda entry: entry.at):
        running += 1 if entry.what == "start" else -1
        most = max(most, running)
    assert len({entry.data["pid"] for entry in told}) >= 2, "no child was replaced"
    assert most == 3
    assert worker.exit_code is None


def test_a_limit_below_what_the_app_needs_is_said(scene: Scene) -> None:
    """A fresh child is not replaced for what it holds before its first job; the log says so."""
    worker = scene.worker(max_memory_mib=5).ready()
    (first,) = worker.children()
    (line,) = eventually(lambda: [line for line in worker.logs() if "max_memory_mib" in line])
    assert (line["max_memory_mib"], line["level"]) == (5, "warning")
    assert line["needed_mib"] > 5
    job = scene.jobs.quick.enqueue()
    undisturbed(scene, [job.id])
    assert scene.until_told("start", job=job.id).data["pid"] == first.pid
    eventually(lambda: first.pid not in {child.pid for child in worker.children()})
