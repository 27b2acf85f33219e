"""A server whose disk is full: clients are told, workers wait, and nothing is lost."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from tests.scenarios.facts import always, eventually
from tests.scenarios.scene import Scene
from tests.scenarios.stores import Site, own_server
from tests.scenarios.test_disk_full import (
    Ballast,
    enqueue_by_command,
    fill_up,
    is_refused_clearly,
)
from tests.scenarios.workers import WorkerProcess
from tests.services.postgres import Database
from workhorse.domain.errors import Unavailable
from workhorse.domain.job import FINAL, State

pytestmark = [pytest.mark.needs("tmpfs"), pytest.mark.stores("pg18")]

SIZE = 150 << 20
NO_SPACE = "No space left on device"
MANY = 100
"""So many attempts have no room to end in what pages are left."""
LOG = {"max_wal_size": "48MB", "min_wal_size": "48MB", "autovacuum": "off"}
"""Three segments of the server's log are kept. What failed is not cleared away for others."""


@pytest.fixture
def disk() -> Iterator[Path]:
    """A small disk that the server's account may use."""
    with tempfile.TemporaryDirectory(prefix="workhorse-disk-", dir="/tmp") as folder:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=0777", "tmpfs", folder]
        subprocess.run(mount, check=True, capture_output=True)
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def full_site(disk: Path) -> Iterator[Site]:
    """A store whose server has all of its data on that disk."""
    with own_server(where=disk, settings=LOG) as site:
        yield site


def test_a_full_disk_is_waited_out(
    make_scene: Callable[..., Scene], full_site: Site, disk: Path, tmp_path: Path
) -> None:
    """Enqueuing fails with `StoreFull`, reading works; with space again everything goes on.

    The worker and its children are the same, and nothing that was acknowledged is lost.
    """
    server = full_site.server
    keep_room_in_the_log(server)
    scene = make_scene("stage", full_site)
    worker = scene.worker(concurrency=MANY).ready()
    children = [child.pid for child in worker.children()]
    postmaster = server.cluster.pid
    jobs = [job.id for job in scene.app.enqueue_many([scene.jobs.nap.bind(3.0)] * MANY)]
    scene.until_told("start", count=MANY)

    ballast = Ballast(disk)
    jobs += fill_up(scene, ballast)
    refused = eventually(lambda: refusal(scene, tmp_path, ballast))
    assert refused is not None
    assert is_refused_clearly(refused)
    for job in jobs:
        assert scene.job(job).id == job, "what is stored can be read"
    eventually(lambda: full(worker), what="a worker that cannot write")
    scene.until_told("end", count=MANY)
    assert any(scene.state(job) not in FINAL for job in jobs[:MANY])

    ballast.free()
    jobs.append(scene.jobs.quick.enqueue("after").id)
    for job in jobs:
        assert scene.until(job).state is State.SUCCEEDED
        assert scene.outcomes(job) == ["ok"]
    print(f"{len(jobs)} acknowledged jobs, 0 lost")
    assert server.cluster.is_running
    assert server.cluster.pid == postmaster
    assert [child.pid for child in worker.children()] == children
    assert worker.stop() == 0


def test_due_jobs_wait_for_a_full_disk(
    make_scene: Callable[..., Scene], full_site: Site, disk: Path
) -> None:
    """A worker that has nothing to do but to see what is due says what it waits for.

    It asks about once a second, and with space again the jobs run.
    """
    server = full_site.server
    keep_room_in_the_log(server)
    scene = make_scene("stage", full_site)
    worker = scene.worker()
    scene.until(scene.jobs.quick.enqueue().id)
    due = [scene.jobs.quick.using(delay=1.0).bind(n) for n in range(10 * MANY)]
    jobs = [job.id for job in scene.app.enqueue_many(due)]
    scene.store.pause("default")
    ballast = Ballast(disk)
    jobs += fill_up(scene, ballast)
    eventually(lambda: full(worker), what="a worker that says why it does not go on")
    assert all(scene.state(job) is State.SCHEDULED for job in jobs[: 10 * MANY])

    before = server.cluster.log.read_text().count(NO_SPACE)
    always(lambda: worker.exit_code is None, during=3.0)
    refused = server.cluster.log.read_text().count(NO_SPACE) - before
    print(f"refused {refused} times in 3 s")
    assert refused < 20

    ballast.free()
    scene.store.resume("default")
    for job in jobs:
        assert scene.until(job).state is State.SUCCEEDED
    assert worker.stop() == 0


def test_a_server_that_cannot_write_its_log(
    make_scene: Callable[..., Scene], full_site: Site, disk: Path
) -> None:
    """It ends itself, in the middle of the work. Started again with space, nothing is lost.

    The worker and its children are the same; what they had done meanwhile is not done again.
    """
    server = full_site.server
    scene = make_scene("stage", full_site)
    worker = scene.worker(concurrency=4).ready()
    children = [child.pid for child in worker.children()]
    running = scene.jobs.nap.enqueue(2.0)
    scene.until_told("start", job=running.id)

    ballast = Ballast(disk)
    jobs = [running.id, *write_until_it_ends(scene, server, ballast)]
    with pytest.raises(Unavailable, match="cannot be reached"):
        scene.jobs.quick.enqueue()
    scene.until_told("end", job=running.id)
    eventually(lambda: "out of reach" in worker.text())

    ballast.free()
    server.cluster.start()
    jobs.append(scene.jobs.quick.enqueue("after").id)
    for job in jobs:
        assert scene.until(job).state is State.SUCCEEDED
        assert scene.job(job).failures == 0
    print(f"{len(jobs)} acknowledged jobs, 0 lost")
    assert scene.starts(running.id) == 1
    assert [child.pid for child in worker.children()] == children
    assert worker.stop() == 0


def refusal(
    scene: Scene, folder: Path, ballast: Ballast
) -> subprocess.CompletedProcess[str] | None:
    """Enqueue by the command line; return what it says when there is no room for it."""
    ballast.fill()
    done = enqueue_by_command(scene, folder)
    return done if done.returncode else None


def full(worker: WorkerProcess) -> bool:
    """Whether the worker says that it waits for a full disk."""
    return any("is full" in line["error"] for line in worker.logs("the store is out of reach"))


def keep_room_in_the_log(server: Database) -> None:
    """Have the server keep empty segments: then tables meet the end of the disk, not its log."""

    def has_room() -> bool:
        server.sql("select pg_switch_wal()")
        server.sql("checkpoint")
        ahead = server.sql(
            "select count(*) from pg_ls_waldir()"
            " where name > pg_walfile_name(pg_current_wal_insert_lsn()) and name !~ 'temp'"
        )
        return bool(ahead[0][0])

    eventually(has_room)


def write_until_it_ends(scene: Scene, server: Database, ballast: Ballast) -> list[int]:
    """Have the server write to its log until it cannot; return the jobs acknowledged meanwhile."""
    acknowledged = []

    def has_ended() -> bool:
        ballast.fill()
        try:
            acknowledged.append(scene.jobs.quick.enqueue().id)
            server.sql("select pg_logical_emit_message(true, 'x', repeat('x', 4000000))")
        except (Unavailable, psycopg.OperationalError):
            return not server.cluster.is_running
        return False

    eventually(has_ended, within=60, every=0)
    return acknowledged
