"""An open transaction of a user keeps what it names, and nothing else."""

from __future__ import annotations

import signal
import time

import psycopg
import pytest

from tests.scenarios import procs
from tests.scenarios.facts import eventually
from tests.scenarios.scene import Scene
from tests.scenarios.stores import SERVERS
from workhorse.domain.job import State

pytestmark = pytest.mark.stores(*SERVERS)

KEPT = "a job that has ended is kept by another's open transaction"
OPEN = 4.0
"""Seconds that the transaction stays open: several times as long as a turn waits for a lock."""


@pytest.mark.parametrize("waits", ["running", "available"])
def test_a_job_is_awaited_in_a_transaction_that_stays_open(scene: Scene, waits: str) -> None:
    """It runs, and only its end waits: the worker goes on with all others meanwhile."""
    worker = scene.worker(concurrency=4)
    worker.ready()
    with psycopg.connect(scene.site.server.url) as theirs:
        if waits == "running":
            awaited = scene.jobs.nap.enqueue(1.0)
            scene.until_told("start", job=awaited.id)
        else:
            awaited = scene.jobs.nap.using(delay=0.5).enqueue(0.5)
        after = scene.jobs.quick.using(session=theirs, after=[awaited]).enqueue("after")
        scene.until_told("end", job=awaited.id)
        opened, slowest, ran = time.monotonic(), 0.0, 0
        while time.monotonic() - opened < OPEN:
            began = time.monotonic()
            scene.until(scene.jobs.quick.enqueue("other").id, State.SUCCEEDED)
            slowest, ran = max(slowest, time.monotonic() - began), ran + 1
        print(f"{ran} others, the slowest in {slowest:.2f} s")
        assert slowest < 3.0
        assert scene.state(awaited.id) is State.RUNNING
    scene.until(awaited.id, State.SUCCEEDED)
    scene.until(after.id, State.SUCCEEDED)
    assert scene.outcomes(awaited.id) == ["ok"]
    assert worker.stop() == 0


def test_a_child_dies_whose_job_is_awaited_in_an_open_transaction(scene: Scene) -> None:
    """How it died is not forgotten: when the transaction ends, the job has failed for that."""
    worker = scene.worker(concurrency=4)
    worker.ready()
    with psycopg.connect(scene.site.server.url) as theirs:
        awaited = scene.jobs.nap.using(max_attempts=1).enqueue(60)
        scene.until_told("start", job=awaited.id)
        after = scene.jobs.quick.using(session=theirs, after=[awaited]).enqueue("after")
        procs.send(worker.children()[0].pid, signal.SIGKILL)
        eventually(lambda: worker.logs(KEPT), within=10)
        assert scene.until(scene.jobs.quick.enqueue("other").id).state is State.SUCCEEDED
        assert scene.state(awaited.id) is State.RUNNING
    scene.until(awaited.id, State.FAILED)
    scene.until(after.id, State.CANCELLED)
    assert scene.outcomes(awaited.id) == ["crashed"]


def test_a_drain_waits_for_the_end_of_the_transaction(scene: Scene) -> None:
    """What has run is not run again because somebody else takes time."""
    worker = scene.worker(concurrency=4, shutdown_timeout=20)
    worker.ready()
    with psycopg.connect(scene.site.server.url) as theirs:
        awaited = scene.jobs.nap.enqueue(0.5)
        scene.jobs.quick.using(session=theirs, after=[awaited]).enqueue("after")
        scene.until_told("end", job=awaited.id)
        worker.send(signal.SIGTERM)
        eventually(lambda: worker.logs(KEPT), within=10)
    assert worker.wait() == 0
    assert scene.state(awaited.id) is State.SUCCEEDED
    assert scene.outcomes(awaited.id) == ["ok"]
