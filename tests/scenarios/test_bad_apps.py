"""A worker whose app is broken, or older than the jobs it meets, says so and does no harm."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

from tests.scenarios.facts import eventually
from tests.scenarios.scene import Scene
from tests.scenarios.workers import WorkerProcess
from workhorse.domain.job import State

MOVING = """
from workhorse import Workhorse
app = Workhorse({url!r})

@app.job
def quick() -> None: ...
"""


def test_an_app_that_cannot_be_imported_is_shown_once(scene: Scene) -> None:
    """The real cause is shown once, framed; after three identical failures the worker gives up."""
    with WorkerProcess(scene.folder, scene.url, "tests.scenarios.apps.broken:app") as worker:
        assert worker.wait() == 3
        text = worker.text()
        assert text.count("the licence file is missing: /etc/example.key") == 1, text
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


def test_an_app_that_moves_to_another_store(scene: Scene, tmp_path: Path) -> None:
    """A child that was started after its code was changed does not work in the other store."""
    home = tmp_path / "moving"
    home.mkdir()
    module = home / "moving_app.py"
    module.write_text(MOVING.format(url=scene.url))
    extra = {"PYTHONPATH": str(home)}
    with WorkerProcess(scene.folder, scene.url, "moving_app:app", extra=extra) as worker:
        eventually(lambda: worker.logs("worker started"), what="a worker")
        (child,) = worker.children()
        module.write_text(MOVING.format(url=f"sqlite:///{home}/other.db"))
        os.kill(child.pid, signal.SIGKILL)
        assert worker.wait() == 3
        assert "The app keeps its jobs in another store" in worker.text()
        assert worker.tree() == []
    assert not (home / "other.db").exists()
