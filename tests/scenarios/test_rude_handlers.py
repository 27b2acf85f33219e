"""What a handler does to the process it shares is its own affair: its job ends, others go on."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.scenarios.facts import eventually
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
    here = str(scene.folder)
    jobs = [scene.jobs.mute.enqueue(how).id, scene.jobs.polite.enqueue().id]
    jobs.append(scene.jobs.wait_for_process.enqueue(here).id)
    if how in {"close", "wrap"}:
        jobs.append(scene.jobs.chatty.enqueue().id)
    for job in jobs:
        ended = scene.until(job)
        assert (ended.state, ended.attempt) == (State.SUCCEEDED, 1), ended
    assert scene.events(None, "child_died") == []
    assert worker.stop() == 0
    assert [line["job_id"] for line in worker.logs("job ended")] == jobs


@pytest.mark.parametrize("spare_itself", [False, True])
def test_a_handler_that_cancels_every_task(scene: Scene, *, spare_itself: bool) -> None:
    """It harms what handlers run on that loop, and nothing else: the loop is the worker's."""
    worker = scene.worker(concurrency=5)
    go_on = scene.folder / "go on"
    waiters = [
        kind.enqueue(str(go_on)).id
        for kind in (scene.jobs.wait_for, scene.jobs.wait_for_thread, scene.jobs.wait_for_process)
    ]
    eventually(lambda: all(scene.state(job) is State.RUNNING for job in waiters))
    rude = scene.until(scene.jobs.cancel_all.enqueue(spare_itself=spare_itself).id)
    if spare_itself:
        assert (rude.state, rude.attempt) == (State.SUCCEEDED, 1)
    else:
        assert (rude.state, rude.attempt) == (State.FAILED, 2)
        assert rude.error is not None
        assert rude.error["type"] == "asyncio.exceptions.CancelledError"
    go_on.touch()
    for job in waiters:
        ended = scene.until(job)
        assert ended.state is State.SUCCEEDED
        assert (ended.attempt > 1) == (ended.kind == "wait_for")
    assert scene.events(None, "child_died") == []
    assert worker.stop() == 0
    assert "Task was destroyed" not in worker.text()


def test_a_handler_that_brings_its_process_down(scene: Scene) -> None:
    """What ran there is on the board when it is dead: who did it is found out, nobody else pays."""
    worker = scene.worker(concurrency=5)
    go_on = scene.folder / "go on"
    waiters = [
        kind.enqueue(str(go_on)).id for kind in (scene.jobs.wait_for, scene.jobs.wait_for_thread)
    ]
    eventually(lambda: all(scene.state(job) is State.RUNNING for job in waiters))
    rude = scene.jobs.break_loop.enqueue().id
    eventually(lambda: "released" in scene.outcomes(rude))
    go_on.touch()
    for job in waiters:
        ended = scene.until(job)
        assert (ended.state, ended.failures) == (State.SUCCEEDED, 0)
        assert scene.outcomes(job) == ["released", "ok"]
    ended = scene.until(rude)
    assert (ended.state, ended.outcome) == (State.FAILED, "crashed")
    assert scene.outcomes(rude) == ["released", "crashed", "crashed"]
    assert worker.stop() == 0
    for line in worker.logs("a child cannot go on"):
        assert "Traceback" in line["exception"]
    assert len(worker.logs("a child cannot go on")) == 3


@pytest.mark.parametrize(("beside", "released"), [("wait_for_process", 1), ("wait_for", 2)])
def test_a_process_job_that_kills_its_parent(scene: Scene, beside: str, released: int) -> None:
    """It is found out as one that kills its own process: alone, three times.

    Nobody else pays, neither in a process of its own nor in the one that was killed.
    """
    worker = scene.worker(concurrency=2)
    go_on = scene.folder / "go on"
    waiter = getattr(scene.jobs, beside).enqueue(str(go_on)).id
    eventually(lambda: scene.state(waiter) is State.RUNNING)
    rude = scene.jobs.kill_parent.enqueue().id
    eventually(lambda: "released" in scene.outcomes(waiter))
    go_on.touch()
    innocent = scene.until(waiter)
    assert (innocent.state, innocent.failures) == (State.SUCCEEDED, 0)
    assert scene.outcomes(waiter) == ["released", "ok"]
    ended = scene.until(rude)
    assert (ended.state, ended.outcome, ended.failures) == (State.FAILED, "crashed", 3)
    assert scene.outcomes(rude) == [*["released"] * released, *["crashed"] * 3]
    assert worker.stop() == 0


def test_a_handler_that_is_cancelled_before_it_has_begun(scene: Scene) -> None:
    """Its attempt has failed as any that is cancelled by a neighbour, and the next one succeeds."""
    here = str(scene.folder)
    rude, *others = scene.app.enqueue_many(
        [scene.jobs.cancel_all.bind(spare_itself=True), *[scene.jobs.wait_for.bind(here)] * 3]
    )
    scene.worker(concurrency=4)
    assert scene.until(rude.id).state is State.SUCCEEDED
    for other in others:
        ended = scene.until(other.id)
        assert (ended.state, ended.attempt) == (State.SUCCEEDED, 2)
        assert scene.outcomes(other.id) == ["error", "ok"]


def test_a_handler_that_waits_for_every_task(scene: Scene) -> None:
    """It waits for those of handlers, and not for the worker's, which never end."""
    scene.worker(concurrency=2)
    assert scene.until(scene.jobs.wait_for_all.enqueue().id).state is State.SUCCEEDED
