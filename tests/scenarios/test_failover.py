"""A server fails and its standby takes over: workers and clients that know both go on with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.scenarios.facts import eventually
from tests.scenarios.scene import Scene
from tests.scenarios.stores import Site
from tests.services.fixtures import prepare
from tests.services.ports import LOOPBACK
from tests.services.postgres import Cluster
from workhorse.domain.job import State

pytestmark = pytest.mark.stores("pg18")


@pytest.fixture
def pair(make_scene: Callable[..., Scene]) -> Iterator[tuple[Cluster, Cluster, Scene]]:
    """A server, its standby, and a scene whose URL names both, the standby first."""
    with Cluster("18") as server:
        database = server.create_database()
        prepare(database.url)
        with Cluster("18", follows=server) as standby:
            standby.catch_up()
            hosts = f"{LOOPBACK}:{standby.port},{LOOPBACK}:{server.port}"
            url = f"postgresql://postgres@{hosts}/{database.name}"
            yield server, standby, make_scene("stage", Site(url, database))


def test_workers_that_the_new_server_has_not_heard_of(
    pair: tuple[Cluster, Cluster, Scene], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Each begins again, under an id that no other has, or had: each job is then run once."""
    server, standby, scene = pair
    standby.fall_behind()
    hosts = [str(tmp_path_factory.mktemp("host")) for _ in range(2)]
    workers = [
        scene.worker(concurrency=1, extra={"XDG_RUNTIME_DIR": host}).ready() for host in hosts
    ]
    eventually(lambda: len(scene.store.workers()) == 2)
    before = {worker.id for worker in scene.store.workers()}
    server.stop("immediate")
    standby.promote()
    eventually(lambda: all(len(worker.logs("worker started")) == 2 for worker in workers))
    after = {worker.id for worker in scene.store.workers()}
    assert len(before | after) == 4
    jobs = [scene.jobs.nap.enqueue(3).id for _ in workers]
    for job in jobs:
        ended = scene.until(job)
        assert (ended.state, ended.attempt, scene.starts(job)) == (State.SUCCEEDED, 1, 1)
    assert {attempt.worker for job in jobs for attempt in scene.attempts(job)} == after


def test_a_failover(pair: tuple[Cluster, Cluster, Scene]) -> None:
    """What ran goes on running, and is recorded by the new server; nobody is started again."""
    server, standby, scene = pair
    worker = scene.worker().ready()
    before = scene.jobs.quick.enqueue().id
    scene.until(before)
    running = scene.jobs.nap.enqueue(3).id
    scene.until_told("start", job=running)
    standby.catch_up()
    server.stop("immediate")
    standby.promote()
    ended = scene.until(running)
    assert (ended.state, ended.attempt, scene.starts(running)) == (State.SUCCEEDED, 1, 1)
    assert scene.state(before) is State.SUCCEEDED
    after = scene.jobs.quick.enqueue().id
    assert scene.until(after).state is State.SUCCEEDED
    assert worker.exit_code is None
    assert "Traceback" not in worker.text()
