"""A worker whose app is broken, or older than the jobs it meets, says so and does no harm."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest

from tests.scenarios.facts import eventually
from tests.scenarios.scene import Scene
from tests.scenarios.workers import WorkerProcess
from workhorse.domain.job import State

MOVING = """
from workhorse import Workhorse
app = Workhorse({url!r})

@app.job
def quick(value: str) -> None: ...
"""


def test_an_app_that_cannot_be_imported_is_shown_once(scene: Scene) -> None:
    """The real cause is shown once, framed, beside the log; after three failures it gives up."""
    with WorkerProcess(scene.folder, scene.url, "tests.scenarios.apps.broken:app") as worker:
        assert worker.wait() == 3
        cause, told = "the licence file is missing: /etc/example.key", worker.logs()
        shown = "".join(x for x in worker.text().splitlines(True) if not x.startswith("{"))
        assert shown.count(cause) == 1, worker.text()
        assert [cause in line["reason"] for line in told] == [True] * 3
        assert worker.tree() == []


def test_a_kind_the_worker_does_not_know_is_left_alone(make_scene: Callable[[str], Scene]) -> None:
    """An old version meets a new kind: it runs what it knows, reports the rest, fails nothing."""
    assert "WORKHORSE_APP" not in os.environ
    scene = make_scene("stage")
    new = scene.jobs.nap.enqueue(0.1)
    with WorkerProcess(
        scene.folder, scene.url, "tests.scenarios.apps.old:app", ledger=scene.ledger.where
    ) as old:
        known = scene.jobs.quick.enqueue("known")
        assert scene.until(known.id).state is State.SUCCEEDED
        eventually(lambda: "nap" in old.text(), what="a word about the unknown kind")
        assert (scene.state(new.id), scene.job(new.id).attempt) == (State.AVAILABLE, 0)
    scene.worker()
    assert scene.until(new.id).state is State.SUCCEEDED


@pytest.mark.parametrize("kind", ["book", "book_day"])
def test_an_argument_the_worker_does_not_know_waits_for_one_that_does(
    make_scene: Callable[[str], Scene], kind: str
) -> None:
    """An old version meets a job of the new one: it says so, and the job is done once it can be."""
    scene = make_scene("stage")
    first = date(2030, 1, 31)
    what = first if kind == "book_day" else "attic"
    with WorkerProcess(
        scene.folder, scene.url, "tests.scenarios.apps.old:app", ledger=scene.ledger.where
    ):
        jobs = [getattr(scene.jobs, kind).enqueue(what, *more) for more in ((), (2,))]
        assert scene.until(jobs[0].id).state is State.SUCCEEDED
        eventually(lambda: scene.outcomes(jobs[1].id), what="an attempt of the old version")
        assert not scene.job(jobs[1].id).is_finished
        assert "beds" in jobs[1].explain()
    scene.worker()
    assert scene.until(jobs[1].id).state is State.SUCCEEDED
    assert [scene.result(job.id) for job in jobs] == [f"{what} old", f"{what} 2"]


class Moving:
    """A worker whose app says anew where its jobs are each time that a child imports it."""

    def __init__(self, scene: Scene, home: Path) -> None:
        self.module = home / "moving_app.py"
        self.says(scene.url)
        self.worker = WorkerProcess(
            scene.folder, scene.url, "moving_app:app", extra={"PYTHONPATH": str(home)}
        )

    def says(self, url: str) -> None:
        self.module.write_text(MOVING.format(url=url))

    def says_to_another_child(self, url: str) -> None:
        eventually(lambda: self.worker.logs("worker started"), what="a worker")
        self.says(url)
        (child,) = self.worker.children()
        os.kill(child.pid, signal.SIGKILL)


@pytest.fixture
def moving(scene: Scene, tmp_path: Path) -> Iterator[Moving]:
    home = tmp_path / "moving"
    home.mkdir()
    moving = Moving(scene, home)
    with moving.worker:
        yield moving


def test_an_app_that_moves_to_another_store(moving: Moving, tmp_path: Path) -> None:
    """A child that was started after its code was changed does not work in the other store."""
    moving.says_to_another_child(f"sqlite:///{tmp_path}/other.db")
    assert moving.worker.wait() == 3
    assert "The app keeps its jobs in another store" in moving.worker.text()
    assert moving.worker.tree() == []
    assert not (tmp_path / "other.db").exists()


def test_an_app_that_names_its_store_otherwise(moving: Moving, scene: Scene) -> None:
    """With another password, say: it is the same store."""
    same = scene.url.replace("sqlite:////", "sqlite:////./").replace("@", ":new-word@")
    assert same != scene.url
    moving.says_to_another_child(same)
    job = scene.jobs.quick.enqueue("again")
    assert scene.until(job.id).state is State.SUCCEEDED
