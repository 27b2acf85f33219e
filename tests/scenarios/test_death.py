"""A supervisor that is killed, or frozen, takes its worker's processes with it."""

from __future__ import annotations

import signal
import time

import pytest

from tests.scenarios import procs
from tests.scenarios.facts import eventually
from tests.scenarios.scene import Scene
from tests.scenarios.test_trees import whole_family
from workhorse.domain.job import State


def test_a_killed_supervisor_takes_everything_with_it(scene: Scene) -> None:
    """After kill -9 of a supervisor nothing of its worker lives a second later.

    Neither do the descendants of its process jobs that ignore SIGTERM and left its session. Its
    jobs run again on another worker of the same host within 5 s, long before the lease ends.
    """
    first = scene.worker(lease=30, concurrency=5)
    stubborn = scene.jobs.stubborn.using(timeout=600).enqueue()
    naps = [scene.jobs.nap.enqueue(60).id for _ in range(3)]
    whole_family(scene, first, stubborn.id, attempt=1)
    scene.until_told("start", count=4)
    tree = [process.pid for process in first.tree()]
    assert len(tree) >= 6, "supervisor, warden, child, runner and the job's own"

    second = scene.worker(lease=30, concurrency=5).ready()
    eventually(lambda: len(scene.store.workers()) == 2)
    killed = time.monotonic()
    first.send(signal.SIGKILL)
    eventually(lambda: not procs.living(tree), within=10, every=0.005)
    gone = time.monotonic() - killed
    jobs = [stubborn.id, *naps]
    again = [scene.until_told("start", job=job, attempt=2) for job in jobs]
    latest = max(entry.at for entry in again) / 1e9 - killed
    print(f"killed supervisor: tree of {len(tree)} gone after {gone * 1000:.0f} ms, ", end="")
    print(f"all {len(jobs)} jobs run again after {latest:.2f} s")
    assert gone < 1.0
    assert latest < 5.0
    for job in jobs:
        assert scene.outcomes(job) == ["lost"]
        assert second.pid in next(iter(scene.told("start", job=job, attempt=2))).data["holders"]


def test_no_child_outlives_the_lease_of_a_frozen_supervisor(scene: Scene) -> None:
    """Where only the supervisor is frozen its children are ended before its lease runs out.

    When it wakes its worker does no harm: no two attempts of a job ever run at once.
    """
    lease = 3.0
    frozen = scene.worker(lease=lease, renew=0.5, concurrency=5)
    job = scene.jobs.nap.enqueue(60)
    process_job = scene.jobs.nap_process.enqueue(60)
    scene.until_told("start", count=2)
    tree = [process.pid for process in frozen.below()]

    frozen.send(signal.SIGSTOP)
    stopped = time.monotonic()
    eventually(lambda: set(procs.living(tree)) <= _wardens(tree), within=lease * 3, every=0.005)
    gone = time.monotonic() - stopped
    print(f"frozen supervisor: its children were gone after {gone:.2f} s of a {lease:g} s lease")
    assert gone < lease
    scene.worker(lease=lease, renew=0.5, concurrency=5)
    scene.until_told("start", job=job.id, attempt=2)
    scene.until_told("start", job=process_job.id, attempt=2)
    assert time.monotonic() - stopped > lease * 0.8, "taken over before the lease ran out"
    frozen.send(signal.SIGCONT)
    after = scene.jobs.quick.enqueue("life goes on")
    assert scene.until(after.id).state is State.SUCCEEDED
    for one in (job.id, process_job.id):
        assert scene.outcomes(one) == ["lost"]
        assert scene.starts(one) == 2


def _wardens(tree: list[int]) -> set[int]:
    found = (procs.look(pid) for pid in tree)
    return {p.pid for p in found if p is not None and "warden" in p.command}


def test_a_worker_that_wakes_too_late_can_change_nothing(scene: Scene) -> None:
    """A whole worker frozen for two leases and woken writes nothing: its job is another's now."""
    lease = 1.5
    frozen = scene.worker(lease=lease, renew=0.3, concurrency=5)
    job = scene.jobs.nap.enqueue(0.7)
    scene.until_told("start", job=job.id)
    tree = [process.pid for process in frozen.tree()]
    for pid in sorted(tree, reverse=True):
        procs.send(pid, signal.SIGSTOP)
    scene.worker(lease=lease, renew=0.3, concurrency=5)
    ended = scene.until(job.id)
    assert (ended.state, ended.attempt, scene.result(job.id)) == (State.SUCCEEDED, 2, 2)
    for pid in sorted(tree, reverse=True):
        procs.send(pid, signal.SIGCONT)
    after = [scene.jobs.quick.enqueue().id for _ in range(20)]
    for one in after:
        assert scene.until(one).state is State.SUCCEEDED
    assert scene.outcomes(job.id) == ["lost", "ok"]
    assert scene.result(job.id) == 2
    assert len(scene.events(job.id, "complete")) == 1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_killed_child_costs_its_neighbours_nothing(scene: Scene, number: signal.Signals) -> None:
    """A child killed from outside with many jobs in it: they run again at once, unblamed."""
    worker = scene.worker(concurrency=10).ready()
    jobs = [scene.jobs.nap.enqueue(60, again=0.05).id for _ in range(10)]
    scene.until_told("start", count=10)
    child = worker.children()[0].pid
    killed = time.monotonic()
    procs.send(child, number)
    again = max(scene.until_told("start", job=job, attempt=2).at for job in jobs) / 1e9 - killed
    print(f"killed child: all 10 jobs started again after {again:.2f} s")
    for job in jobs:
        ended = scene.until(job)
        assert (ended.state, ended.failures, ended.crashes) == (State.SUCCEEDED, 0, 0)
        assert "crashed" not in scene.outcomes(job)
    assert worker.exit_code is None
