"""Two hosts on a network: one is cut off, and the other takes its work over.

SCENARIO_LEASE makes the lease as long as it is by default (30).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.scenarios.facts import eventually
from tests.scenarios.procs import living
from tests.scenarios.scene import Scene
from tests.scenarios.stores import Site
from tests.scenarios.workers import WorkerProcess
from tests.services.fixtures import TEMPLATE, prepare
from tests.services.network import Host, Network
from tests.services.postgres import Cluster
from workhorse.domain.job import Outcome, State
from workhorse.domain.transitions import Change, Verb
from workhorse.store.protocol import ClaimRequest, Settled

pytestmark = [
    pytest.mark.stores("pg18"),
    pytest.mark.needs("netns"),
    pytest.mark.timeout(300),
]

LEASE = float(os.environ.get("SCENARIO_LEASE", "8"))
RENEW = LEASE / 6
TAKEN_OVER_WITHIN = LEASE + 15
"""45 s with the default lease of 30 s."""
COMPLETE = Change(Verb.COMPLETE, State.SUCCEEDED, Outcome.OK)


@pytest.fixture
def server(network: Network) -> Iterator[Site]:
    """A server on the hub: its hosts reach it by TCP, the test by its socket."""
    with Cluster("18", host=network.hub) as cluster:
        prepare(cluster.socket_url(cluster.create_database(TEMPLATE).name))
        database = cluster.create_database(template=TEMPLATE)
        yield Site(cluster.socket_url(database.name), database)


@pytest.fixture
def scene(make_scene: Callable[..., Scene], server: Site) -> Scene:
    return make_scene("stage", server)


def worker_on(scene: Scene, host: Host, folder: Path) -> WorkerProcess:
    """Start a worker on a host, with a run folder of that host's own."""
    run_dir = folder / host.name
    run_dir.mkdir()
    return scene.worker(
        scene.site.server.url,
        within=host.inside(),
        extra={"XDG_RUNTIME_DIR": str(run_dir)},
        lease=LEASE,
        renew=RENEW,
        concurrency=5,
    ).ready()


def test_a_host_that_is_cut_off(scene: Scene, network: Network, tmp_path: Path) -> None:
    """Cut off for two leases: its children are dead before its lease ends, the other runs its jobs.

    Healed, its late writes are refused, and it begins again under a new id.
    """
    cut_off = worker_on(scene, network["a"], tmp_path)
    jobs = [scene.jobs.nap.enqueue(600).id for _ in range(2)]
    jobs.append(scene.jobs.nap_process.enqueue(600).id)
    scene.until_told("start", count=len(jobs))
    (before,) = scene.store.workers()
    other = worker_on(scene, network["b"], tmp_path)
    children = [process.pid for process in cut_off.below()]
    wardens = {warden.pid for warden in cut_off.wardens()}

    network["a"].cut()
    cut = time.monotonic()
    eventually(lambda: set(living(children)) <= wardens, within=2 * LEASE, every=0.01)
    dead = time.monotonic() - cut
    again = [scene.until_told("start", job=job, attempt=2) for job in jobs]
    taken_over = max(entry.at for entry in again) / 1e9 - cut
    eventually(lambda: time.monotonic() - cut > 2 * LEASE, within=3 * LEASE)
    network["a"].heal()
    healed = time.monotonic()
    eventually(lambda: len(scene.store.workers()) == 2, within=60, what="it to begin again")
    back = time.monotonic() - healed
    print(
        f"lease {LEASE:g} s: children dead after {dead:.1f} s, jobs taken over after "
        f"{taken_over:.1f} s; back {back:.1f} s after healing"
    )
    assert dead < LEASE
    assert taken_over < TAKEN_OVER_WITHIN
    assert all(other.pid in entry.data["holders"] for entry in again)
    assert before.id not in {worker.id for worker in scene.store.workers()}
    assert cut_off.exit_code is None
    assert cut_off.logs("the lease was lost: beginning again")
    late = [Settled(job, 1, COMPLETE) for job in jobs]
    turn = scene.store.turn(before.id, late, [], ClaimRequest(1, ("default",), ("nap",), 1))
    assert list(turn.stale) == [(job, 1) for job in jobs]
    assert (list(turn.claimed), turn.lease_valid) == ([], False)
    assert not scene.store.renew(before.id, LEASE)
    for job in jobs:
        assert scene.outcomes(job) == ["lost"]
        assert scene.job(job).attempt == 2
    assert scene.until(scene.jobs.quick.enqueue().id).state is State.SUCCEEDED
