"""The clock that counts is the server's, whatever a host's own says, and however it is set."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.scenarios.facts import eventually
from tests.scenarios.scene import Scene
from tests.scenarios.stores import SERVERS
from workhorse.domain.job import State

pytestmark = pytest.mark.stores(*SERVERS)

AT_ONCE = 1.0
"""Seconds within which a job starts that is due."""


def set_clock(scene: Scene, ahead: int) -> None:
    """Set the server's clock so many seconds ahead of everybody's."""
    scene.site.server.sql(
        "create or replace function workhorse.clock() returns bigint language sql stable"
        f" return (extract(epoch from statement_timestamp()) + {ahead}) * 1000"
    )


@pytest.mark.parametrize("ahead", [-20, 20])
def test_a_job_is_due_by_the_servers_clock(scene: Scene, ahead: int) -> None:
    """However far the host's own is off, it starts in time, and nobody keeps asking until then."""
    set_clock(scene, ahead)
    cluster, database = scene.site.server.cluster, scene.site.server.name
    cluster.log_statements(database)
    scene.worker().ready()
    eventually(lambda: scene.listeners() == 1)
    before = len(cluster.statements(database))
    asked = time.monotonic()
    job = scene.jobs.quick.using(delay=3).enqueue()
    waited = scene.until_told("start", job=job.id).at / 1e9 - asked - 3
    looks = [sql for sql in cluster.statements(database)[before:] if "scheduled" in sql]
    print(f"due: started after {waited * 1000:.0f} ms, looked for {len(looks)} times")
    assert 0 <= waited < AT_ONCE
    if not scene.site.pooled:  # a pooler's connections are older than the wish to log
        assert 0 < len(looks) < 10


def test_a_jump_is_not_taken_for_the_end_of_a_lease(scene: Scene, tmp_path: Path) -> None:
    """Set ahead by an hour every lease has run out, and still no living worker's job is lost."""
    for host in ("a", "b"):
        folder = tmp_path / host
        folder.mkdir()
        apart = {"XDG_RUNTIME_DIR": str(folder)}
        scene.worker(concurrency=2, extra=apart, **scene.site.deaf).ready()
    jobs = [scene.jobs.nap.enqueue(5).id for _ in range(4)]
    scene.until_told("start", count=4)
    eventually(lambda: len({scene.job(job).worker for job in jobs}) == 2, what="both at work")
    set_clock(scene, 3600)
    for job in jobs:
        ended = scene.until(job)
        assert (ended.state, ended.attempt) == (State.SUCCEEDED, 1), scene.app.get(job).explain()
    assert [worker.state for worker in scene.store.workers()] == ["alive", "alive"]
