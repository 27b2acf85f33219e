"""What a handler does to the process it shares is its own affair: its job ends, others go on."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.scenarios.scene import Scene
from workhorse.domain.job import State


@pytest.fixture
def scene(make_scene: Callable[[str], Scene]) -> Scene:
    return make_scene("rude")


@pytest.mark.parametrize("how", ["gather", "group", "wait_for", "interrupt", "callback", "stop"])
def test_a_handler_cannot_end_the_loop(scene: Scene, how: str) -> None:
    """`sys.exit` where a library calls it is an error of its job, whichever task it was in.

    The child goes on: nothing that runs in it has to run again.
    """
    rude = scene.jobs.leave.enqueue(how)
    polite = scene.jobs.polite.enqueue()
    worker = scene.worker(concurrency=1)
    ended = scene.until(rude.id)
    assert ended.attempt == 1
    if how in {"callback", "stop"}:  # of no job's making, as far as can be seen
        assert ended.state is State.SUCCEEDED
    else:
        assert ended.state is State.FAILED
        assert ended.error
        assert ended.error["type"] in {"SystemExit", "KeyboardInterrupt", "BaseExceptionGroup"}
    assert scene.until(polite.id).state is State.SUCCEEDED
    assert scene.events(None, "child_died") == []
    assert worker.stop() == 0


@pytest.mark.parametrize("kind", ["close", "close_thread"])
def test_a_handler_cannot_close_the_worker_s_store(scene: Scene, kind: str) -> None:
    """An app that is closed in a handler is open again at its next use; its worker goes on."""
    rude = getattr(scene.jobs, kind).enqueue()
    worker = scene.worker(concurrency=1)
    assert scene.until(rude.id).state is State.SUCCEEDED
    assert scene.until(scene.result(rude.id)).state is State.SUCCEEDED
    assert scene.until(scene.jobs.polite.enqueue().id).state is State.SUCCEEDED
    assert worker.logs("the store is out of reach") == []
    assert worker.stop() == 0


def test_a_handler_that_goes_elsewhere_takes_no_process_along(scene: Scene) -> None:
    """A process job begins where the worker did, and with its environment."""
    scene.worker(concurrency=1)
    scene.until(scene.jobs.wander.enqueue().id)
    gone = scene.jobs.polite.enqueue()
    begun = scene.jobs.polite_process.enqueue()
    assert scene.until(begun.id).state is State.SUCCEEDED
    assert scene.until(gone.id).state is State.SUCCEEDED
    assert scene.result(gone.id) == "/"
    assert scene.result(begun.id) == [str(scene.folder), "nobody"]


@pytest.mark.parametrize("how", ["close", "wrap", "detach", "descriptors"])
def test_a_handler_cannot_end_the_worker_s_log(scene: Scene, how: str) -> None:
    """What it does to the standard streams of its process is no matter for the log, nor the engine.

    One that is closed is not closed for those that print to it next.
    """
    worker = scene.worker(concurrency=1)
    jobs = [scene.jobs.mute.enqueue(how).id, scene.jobs.polite.enqueue().id]
    if how in {"close", "wrap"}:
        jobs.append(scene.jobs.chatty.enqueue().id)
    for job in jobs:
        ended = scene.until(job)
        assert (ended.state, ended.attempt) == (State.SUCCEEDED, 1), ended
    assert scene.events(None, "child_died") == []
    assert worker.stop() == 0
    assert [line["job_id"] for line in worker.logs("job ended")] == jobs
