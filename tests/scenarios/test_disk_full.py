"""A full disk stops the work, loses nothing, and is forgotten when there is room again."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.scenarios.facts import eventually
from tests.scenarios.scene import Scene
from tests.scenarios.stores import Site
from tests.scenarios.workers import WorkerProcess, environment
from workhorse.domain.errors import StoreFull
from workhorse.domain.job import State

pytestmark = [pytest.mark.needs("tmpfs"), pytest.mark.stores("sqlite")]

SIZE = 6 << 20
TEXT = "x" * 100_000


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of a few megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    subprocess.run(mount, check=True, capture_output=True)
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


class Ballast:
    """A file that takes all the room there is, however much it grows back."""

    def __init__(self, disk: Path) -> None:
        self._path = disk / "ballast"

    def fill(self) -> None:
        """Take what is left, to the last byte."""
        with self._path.open("ab", buffering=0) as file:
            for size in (1 << 16, 1 << 12, 1):
                try:
                    while True:
                        file.write(b"\0" * size)
                except OSError:
                    continue

    def free(self) -> None:
        self._path.unlink()


def fill_up(scene: Scene, ballast: Ballast) -> list[int]:
    """Fill the disk until the store says so; return the jobs it still acknowledged."""
    acknowledged = []
    for _ in range(1000):
        ballast.fill()
        try:
            acknowledged.append(scene.jobs.quick.enqueue(TEXT).id)
        except StoreFull:
            return acknowledged
    raise AssertionError("a full disk took a thousand jobs")


@pytest.mark.parametrize("lease", [30.0, 1.5], ids=lambda lease: f"lease {lease:g} s")
def test_a_full_disk_is_waited_out(
    make_scene: Callable[..., Scene], tmp_path: Path, disk: Path, lease: float
) -> None:
    """Enqueuing fails clearly, reading works, and work resumes by itself when space returns.

    So it does when the disk was full for so long that no lease could be renewed. Nothing that
    was acknowledged is lost, and what had ended meanwhile is not run again if it need not be.
    """
    scene = make_scene("stage", Site(f"sqlite:///{disk / 'jobs.db'}"))
    ballast = Ballast(disk)
    worker = scene.worker(lease=lease, renew=0.3)
    jobs = [scene.jobs.quick.enqueue().id]
    scene.until(jobs[0])
    running = scene.jobs.nap.enqueue(1.0)
    scene.until_told("start", job=running.id)
    scene.store.pause("default")
    jobs += [running.id, *fill_up(scene, ballast)]
    assert is_refused_clearly(enqueue_by_command(scene, tmp_path))
    for job in jobs:
        assert scene.job(job).id == job, "what is stored can be read"
    if lease < 10:
        eventually(lambda: not worker.children() or _was_ended(worker))
    else:
        scene.until_told("end", job=running.id)
        eventually(lambda: "out of reach" in worker.text())
    assert worker.exit_code is None

    ballast.free()
    scene.store.resume("default")
    jobs.append(scene.jobs.quick.enqueue("after").id)
    for job in jobs:
        assert scene.until(job).state is State.SUCCEEDED
    attempts = scene.outcomes(running.id)
    assert attempts == ["ok"] if lease > 10 else set(attempts) <= {"ok", "released", "lost"}
    assert all(scene.job(job).failures == 0 for job in jobs)
    assert worker.stop() == 0


def enqueue_by_command(scene: Scene, folder: Path) -> subprocess.CompletedProcess[str]:
    order = ["enqueue", "quick", f'{{"value": "{TEXT}"}}']
    return subprocess.run(
        [sys.executable, "-m", "workhorse", *order],
        env=environment(scene.url, WORKHORSE_APP=scene.app_name),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def is_refused_clearly(done: subprocess.CompletedProcess[str]) -> bool:
    """Whether a command failed with the code of a store that is out of reach, and says why."""
    return done.returncode == 4 and "full" in done.stderr and "Traceback" not in done.stderr


def _was_ended(worker: WorkerProcess) -> bool:
    return any("could not be renewed" in str(line["reason"]) for line in worker.logs("child ended"))


def test_a_worker_on_a_full_disk_can_be_stopped(
    make_scene: Callable[..., Scene], disk: Path
) -> None:
    """It ends soon after its grace and says why; the jobs it could not give back run elsewhere."""
    scene = make_scene("stage", Site(f"sqlite:///{disk / 'jobs.db'}"))
    ballast = Ballast(disk)
    worker = scene.worker(shutdown_timeout=1, cancel_grace=0.3)
    job = scene.jobs.nap.enqueue(60)
    scene.until_told("start", job=job.id)
    scene.store.pause("default")
    fill_up(scene, ballast)
    assert worker.stop(15) == 4
    assert "full" in worker.text().splitlines()[-1]
    assert worker.tree() == []
    ballast.free()
    scene.store.resume("default")
    scene.worker()
    scene.until_told("start", job=job.id, attempt=2)
    assert scene.job(job.id).failures == 0
