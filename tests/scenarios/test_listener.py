"""Hosts that share nothing but the server hear of each other's jobs by its bell."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.facts import eventually
from tests.scenarios.scene import Scene
from tests.scenarios.stores import SERVERS
from tests.scenarios.workers import WorkerProcess
from tests.services.proxy import Proxy
from workhorse.domain.job import State

pytestmark = pytest.mark.stores(*SERVERS)

AT_ONCE = 1.0
"""Seconds within which a job that was rung for starts: a poll would come much later."""
SELDOM = 30
"""Seconds between two polls."""


@pytest.fixture
def elsewhere(scene: Scene, tmp_path: Path) -> Callable[..., WorkerProcess]:
    """Return a function that starts a worker on another host: its sockets are in its own folder."""

    def start(host: str = "b", **settings: Any) -> WorkerProcess:
        folder = tmp_path / host
        folder.mkdir(exist_ok=True)
        told = {"poll_interval": SELDOM, "extra": {"XDG_RUNTIME_DIR": str(folder)}}
        return scene.worker(**{**told, **settings}).ready()

    return start


def starts_after(scene: Scene, job: int, since: float) -> float:
    """Wait for the job to start; return how many seconds after `since` it did."""
    return scene.until_told("start", job=job).at / 1e9 - since


def test_a_job_of_another_host_is_started_at_once(
    scene: Scene, elsewhere: Callable[..., WorkerProcess]
) -> None:
    """Though it polls every 30 s: the first of a pair, and the one that follows on its heels."""
    elsewhere(concurrency=30)
    eventually(lambda: scene.listeners() == 1)
    waits = []
    for _ in range(10):
        asked = time.monotonic()
        pair = [scene.jobs.nap.enqueue(20), scene.jobs.quick.enqueue()]
        waits += [starts_after(scene, job.id, asked) for job in pair]
    print(f"rung: started after {sorted(waits)[10] * 1000:.0f} ms, {max(waits) * 1000:.0f} at most")
    assert max(waits) < AT_ONCE


def test_whatever_makes_a_job_available_is_heard(
    scene: Scene, elsewhere: Callable[..., WorkerProcess]
) -> None:
    """Requeued, resumed, unblocked, due, or handed back elsewhere: it starts at once."""
    here = elsewhere("a", queues=["a"])
    elsewhere("b", queues=["b"])
    eventually(lambda: scene.listeners() == 2)
    quick, waits = scene.jobs.quick.using(queue="b"), {}

    scene.store.pause("b")
    job = quick.enqueue()
    job.cancel()
    job.requeue()
    assert scene.state(job.id) is State.AVAILABLE
    asked = time.monotonic()
    scene.store.resume("b")
    waits["resumed"] = starts_after(scene, job.id, asked)

    job = quick.using(delay=60).enqueue()
    job.cancel()
    asked = time.monotonic()
    job.requeue()
    waits["requeued"] = starts_after(scene, job.id, asked)

    first = scene.jobs.nap.using(queue="a").enqueue(0.3)
    job = quick.using(after=first).enqueue()
    waits["unblocked"] = starts_after(scene, job.id, ended(scene, first.id))

    first = scene.jobs.nap.using(queue="a").enqueue(0.3)
    scene.until_told("start", job=first.id)
    asked = time.monotonic()
    job = quick.using(after=first, delay=0.7).enqueue()
    waits["unblocked, then due"] = starts_after(scene, job.id, asked) - 0.7

    for place in range(4):
        asked = time.monotonic()
        job = quick.using(delay=0.5).enqueue()
        waits[f"due {place}"] = starts_after(scene, job.id, asked) - 0.5
    print({name: round(wait, 3) for name, wait in waits.items()})
    assert max(waits.values()) < AT_ONCE
    assert here.stop() == 0


def ended(scene: Scene, job: int) -> float:
    return scene.until_told("end", job=job).at / 1e9


def test_what_a_draining_worker_hands_back_is_taken_over(
    scene: Scene, elsewhere: Callable[..., WorkerProcess]
) -> None:
    """A job that is released on one host starts on the other at once."""
    leaving = elsewhere("a", shutdown_timeout=0.5)
    job = scene.jobs.nap.enqueue(60)
    scene.until_told("start", job=job.id)
    elsewhere("b")
    eventually(lambda: scene.listeners() == 2)
    leaving.stop()
    (released,) = scene.events(job.id, "release")
    again = scene.until_told("start", job=job.id, attempt=2)
    waited = again.at / 1e9 - time.monotonic() + time.time() - released.at / 1000
    print(f"handed back: started again after {waited * 1000:.0f} ms")
    assert waited < AT_ONCE


def test_a_listener_that_is_cut_off(scene: Scene, elsewhere: Callable[..., WorkerProcess]) -> None:
    """Cut off it is deaf, and its worker polls; with its connection back it hears again."""
    direct = scene.site.listen_url
    with Proxy(direct) as proxy:
        elsewhere(listen_url=proxy.through(direct), poll_interval=0.5)
        eventually(lambda: scene.listeners() == 1)
        proxy.cut()
        eventually(lambda: scene.listeners() == 0)
        polled = [
            starts_after(scene, scene.jobs.quick.enqueue().id, time.monotonic()) for _ in "12"
        ]
        proxy.heal()
        eventually(lambda: scene.listeners() == 1)
        rung = [starts_after(scene, scene.jobs.quick.enqueue().id, time.monotonic()) for _ in "123"]
    print(f"deaf: started after {max(polled):.2f} s; hearing again: {max(rung):.3f} s")
    assert max(polled) < 0.5 * 1.25 + AT_ONCE
    assert max(rung) < AT_ONCE


def test_a_listener_whose_server_ends_it(
    scene: Scene, elsewhere: Callable[..., WorkerProcess]
) -> None:
    """Its backend is terminated: it comes back, and what was rung meanwhile is not missed."""
    elsewhere()
    eventually(lambda: scene.listeners() == 1)
    waits = []
    for _ in range(3):
        scene.site.server.sql(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where application_name = 'workhorse listener'"
        )
        asked = time.monotonic()
        waits.append(starts_after(scene, scene.jobs.quick.enqueue().id, asked))
        eventually(lambda: scene.listeners() == 1)
    print(f"terminated: started after {max(waits):.2f} s at most")
    assert max(waits) < 2 + AT_ONCE
