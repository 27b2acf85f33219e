"""Whole workers, as an operator starts them: what their supervisor sees to."""

from __future__ import annotations

import fcntl
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from tests.engine.hasty import HASTY
from tests.engine.odd_apps import fickle, leaving, varying
from tests.scenarios import procs
from tests.scenarios.facts import eventually
from tests.scenarios.scene import Scene
from tests.scenarios.workers import WorkerProcess, environment
from workhorse.domain.job import State

pytestmark = pytest.mark.needs("linux")

APP = "tests.engine.odd_apps.{}:app"


def odd(scene: Scene, app: str, **settings: Any) -> WorkerProcess:
    """Return a worker for an app that is not quite right; not started."""
    return WorkerProcess(scene.folder, scene.url, APP.format(app), **settings)


def health(scene: Scene) -> tuple[int, str]:
    """Return what `workhorse health` ends with, and says."""
    done = subprocess.run(
        [sys.executable, "-m", "workhorse", "health"],
        env=environment(scene.url, WORKHORSE_CRASH_LOOP_RESTARTS="3"),
        cwd=scene.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_children_that_keep_dying_are_seen_by_the_health_probe(scene: Scene) -> None:
    """They are started again with growing waits; too many deaths make the worker unhealthy."""
    worker = scene.worker(lease=3, renew=0.2)
    scene.until(scene.jobs.quick.enqueue().id)
    assert health(scene)[0] == 0, health(scene)
    deaths = 0
    while deaths < 4:
        children = worker.ready().children()
        for child in children:
            procs.send(child.pid, signal.SIGKILL)
            deaths += 1
        eventually(lambda seen=children: not procs.living(c.pid for c in seen))  # type: ignore[misc]
        eventually(lambda seen=deaths: len(scene.events(None, "child_died")) >= seen)  # type: ignore[misc]
    eventually(lambda: scene.store.workers()[0].restarts >= 4)
    code, said = health(scene)
    assert code != 0
    assert "crash loop" in said
    starts = [event.at for event in scene.events(None, "child_died")]
    assert starts[3] - starts[2] > 2 * 100, "the wait between restarts did not grow"
    assert scene.until(scene.jobs.quick.enqueue().id).state is State.SUCCEEDED
    run_dir = scene.store.run_dir
    assert run_dir is not None
    assert len(list(run_dir.glob("wake-*"))) == len(worker.children()), "the dead are rung, too"
    assert worker.stop() == 0


def test_a_burst_ends_when_nothing_is_left(scene: Scene) -> None:
    """A worker in burst mode runs what there is on all its children, and exits 0."""
    jobs = [scene.jobs.nap.enqueue(0.2).id for _ in range(12)]
    jobs += [scene.jobs.quick_process.enqueue().id]
    assert scene.worker(flags=["--burst"], processes=2, concurrency=3).wait(60) == 0
    assert {scene.state(job) for job in jobs} == {State.SUCCEEDED}
    assert [worker.state for worker in scene.store.workers(gone=True)] == ["gone"]


def test_a_burst_leaves_what_is_due_later(scene: Scene) -> None:
    """It waits neither for what is scheduled (delayed, or to be tried again) nor behind it."""
    later = scene.jobs.quick.using(delay=60).enqueue()
    behind = scene.jobs.quick.using(after=[later]).enqueue()
    assert scene.worker(flags=["--burst"]).wait(60) == 0
    assert scene.state(later.id) is State.SCHEDULED
    assert scene.state(behind.id) is State.BLOCKED


def test_a_burst_does_not_outlast_its_lease(scene: Scene) -> None:
    """Out of reach for so long, the store is not waited for: exit 4, and the jobs are rescued."""
    job = scene.jobs.nap.enqueue(60)
    worker = scene.worker(
        within=HASTY,
        flags=["--burst"],
        lease=1.5,
        renew=0.3,
        shutdown_timeout=1,
        cancel_grace=0.3,
    )
    scene.until_told("start", job=job.id)
    run_dir = scene.store.run_dir
    assert run_dir is not None
    with (run_dir / "write.lock").open() as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        assert worker.wait(60) == 4
    assert worker.tree() == []


def test_an_import_that_hangs_does_not_hold_up_a_stop(scene: Scene) -> None:
    """SIGTERM ends a worker whose app never finishes importing, at once and in order."""
    with odd(scene, "hanging") as worker:
        eventually((scene.folder / "importing").exists)
        asked = time.monotonic()
        assert worker.stop() == 0
        assert time.monotonic() - asked < 10
        assert worker.tree() == []


def test_a_store_held_by_another_does_not_hold_up_a_stop(scene: Scene) -> None:
    """With the store's lock in foreign hands a stop is still told to the children at once.

    It ends soon after its grace; what could not be written down is left to be rescued.
    """
    worker = scene.worker(shutdown_timeout=1, cancel_grace=0.3)
    job = scene.jobs.tidy.enqueue(60)
    scene.until_told("start", job=job.id)
    run_dir = scene.store.run_dir
    assert run_dir is not None
    with (run_dir / "write.lock").open() as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        asked = time.monotonic()
        worker.send(signal.SIGTERM)
        scene.until_told("tidied", job=job.id)
        assert time.monotonic() - asked < 5
        code = worker.wait(60)
        took = time.monotonic() - asked
    print(f"stopped after {took:.1f} s with exit code {code}")
    assert code == 4
    assert worker.tree() == []
    scene.worker()
    scene.until_told("start", job=job.id, attempt=2)
    assert scene.job(job.id).failures == 0


def test_a_handler_that_exits_its_child_has_crashed(scene: Scene) -> None:
    """Even with exit code 0 an end nobody wanted is a crash, and three of them are enough."""
    with odd(scene, "leaving") as worker:
        (job,) = scene.store.enqueue([leaving.leave.bind(0).order.job])
        ended = scene.until(job.id)
        assert ended.state is State.FAILED
        assert scene.outcomes(job.id) == ["crashed"] * 3
        assert ended.error is not None
        assert ended.error["exit_code"] == 0
        assert worker.exit_code is None
        lines = eventually(
            lambda: (told := worker.logs("job ended with its process"))[2:] and told,
            what="a line about each",
        )
        for attempt, line in enumerate(lines, start=1):
            about = [line[name] for name in ("job_id", "kind", "queue", "attempt")]
            assert about == [job.id, "leave", "default", attempt]
            assert (line["worker"], line["outcome"]) == (1, "crashed")
            assert line["error"] == "Crashed: The process running this job ended with exit code 0."
            assert 0 <= line["duration"] < 60


def test_a_recycled_child_cannot_be_held_by_a_thread(scene: Scene) -> None:
    """A child that has ended its work is gone soon, whatever its handlers left running in it."""
    with odd(scene, "leaving", max_jobs=1, cancel_grace=0.5) as worker:
        (job,) = scene.store.enqueue([leaving.linger.bind().order.job])
        pid = scene.until(job.id).result
        assert pid is not None
        eventually(lambda: not procs.alive(int(pid)), what="the recycled child to be gone")
        assert scene.outcomes(job.id) == ["ok"]
        assert worker.exit_code is None


@pytest.mark.parametrize("victim", ["child", "supervisor"])
def test_what_a_job_started_dies_with_its_worker(scene: Scene, victim: str) -> None:
    """A process in an environment of its own is ended too, before its job runs again."""
    with odd(scene, "leaving") as worker:
        (job,) = scene.store.enqueue([leaving.start_clean.bind(str(scene.folder)).order.job])
        left = scene.folder / "left-1"
        eventually(left.exists)
        pid = int(eventually(left.read_text))
        assert procs.alive(pid)
        target = worker.pid if victim == "supervisor" else worker.children()[0].pid
        procs.send(target, signal.SIGKILL)
        with odd(scene, "leaving"):
            eventually((scene.folder / "left-2").exists)
            assert not procs.alive(pid), "it lived when the next attempt had started"
            assert scene.job(job.id).attempt == 2


def test_a_worker_found_lost_ends_its_attempts_and_begins_again(scene: Scene) -> None:
    """Told that its jobs are another's, it stops their handlers at once, and starts over."""
    worker = scene.worker(lease=60, renew=20, concurrency=4)
    job = scene.jobs.nap.enqueue(60)
    started = scene.until_told("start", job=job.id).data
    (before,) = scene.store.workers()
    told = time.monotonic()
    short = scene.jobs.nap.enqueue(0.3)
    scene.until_told("start", job=short.id)
    scene.store.rescue(before.id, reason="taken for dead", expired_only=False)
    eventually(lambda: not procs.alive(started["pid"]), within=15)
    assert time.monotonic() - told < 15, "it went on until the next renewal"
    for one in (job, short):
        scene.until_told("start", job=one.id, attempt=2)
    (after,) = scene.store.workers()
    assert after.id != before.id
    assert after.pid == worker.pid
    assert scene.until(short.id).state is State.SUCCEEDED
    assert scene.outcomes(short.id) == ["lost", "ok"]


@pytest.mark.parametrize("told", ["cancel", "timeout"])
def test_a_frozen_child_is_ended_by_its_supervisor(scene: Scene, told: str) -> None:
    """A child that is stopped cannot end a job: its supervisor does, and the rest runs again."""
    worker = scene.worker(cancel_grace=0.3, lease=2, renew=0.3, concurrency=4)
    nap = scene.jobs.nap
    job = (nap.using(timeout=1.5, max_attempts=1) if told == "timeout" else nap).enqueue(60)
    neighbour = scene.jobs.nap.enqueue(2.0)
    scene.until_told("start", count=2)
    (child,) = worker.children()
    procs.send(child.pid, signal.SIGSTOP)
    if told == "cancel":
        job.cancel()
    ended = scene.until(job.id)
    assert ended.state is (State.CANCELLED if told == "cancel" else State.FAILED)
    assert scene.starts(job.id) == 1
    assert scene.until(neighbour.id).state is State.SUCCEEDED
    assert scene.outcomes(neighbour.id) == ["released", "ok"]
    assert not procs.alive(child.pid)


def test_a_child_that_hangs_with_nothing_to_do_is_ended(scene: Scene) -> None:
    """No time limit would end it: it is replaced after a while, and jobs run again."""
    worker = scene.worker(within=HASTY, lease=3, renew=0.5)
    assert scene.until(scene.jobs.quick.enqueue().id).state is State.SUCCEEDED
    (child,) = worker.children()
    procs.send(child.pid, signal.SIGSTOP)
    job = scene.jobs.quick.enqueue()
    assert scene.until(job.id).state is State.SUCCEEDED
    assert not procs.alive(child.pid)
    assert scene.outcomes(job.id) == ["ok"]


def test_a_child_frozen_for_a_while_is_not_taken_for_dead(scene: Scene) -> None:
    """The lease is its supervisor's: a child stopped for two leases goes on where it was."""
    worker = scene.worker(lease=1.0, renew=0.2)
    job = scene.jobs.nap.enqueue(0.5)
    scene.until_told("start", job=job.id)
    (child,) = worker.children()
    procs.send(child.pid, signal.SIGSTOP)
    stopped = time.monotonic()
    eventually(lambda: time.monotonic() - stopped > 2.0)
    assert scene.state(job.id) is State.RUNNING
    procs.send(child.pid, signal.SIGCONT)
    assert scene.until(job.id).state is State.SUCCEEDED
    assert scene.outcomes(job.id) == ["ok"]


@pytest.mark.parametrize(
    ("number", "outcome"), [(signal.SIGKILL, "crashed"), (signal.SIGSTOP, "timed_out")]
)
def test_a_supervisor_with_no_descriptor_free_lives_on(
    scene: Scene, number: signal.Signals, outcome: str
) -> None:
    """What it can look at no more is put off, not taken for done; then it goes on as before."""
    worker = scene.worker(cancel_grace=0.3, lease=600)
    job = scene.jobs.nap.using(timeout=1.5, max_attempts=1).enqueue(60)
    scene.until_told("start", job=job.id)
    (child,) = worker.children()
    with procs.no_descriptor(worker.pid):
        procs.send(child.pid, number)
        for event in ("processes cannot be ended yet", "a pass was put off"):
            eventually(lambda event=event: worker.logs(event), what=event)  # type: ignore[misc]
        assert scene.state(job.id) is State.RUNNING
    assert scene.until(job.id).outcome == outcome
    assert scene.until(scene.jobs.quick.enqueue().id).state is State.SUCCEEDED
    assert worker.stop() == 0


def test_an_app_that_kills_its_importer_ends_the_worker(scene: Scene) -> None:
    """A child that dies at import three times ends a worker that never ran, with the reason."""
    run_dir = scene.store.run_dir
    assert run_dir is not None
    with odd(scene, "dying") as worker:
        assert worker.wait() == 3
        assert "SIGABRT" in worker.text()
        assert worker.tree() == []
    assert [path.name for path in run_dir.iterdir()] == ["write.lock"]


def test_a_release_that_cannot_be_imported_ends_the_worker(scene: Scene) -> None:
    """A child that cannot be replaced, three times for one reason, ends a worker that has run.

    The reason is shown once, and nothing of the worker is left.
    """
    with odd(scene, "fickle") as worker:
        (job,) = scene.store.enqueue([fickle.work.bind().order.job])
        assert scene.until(job.id).state is State.SUCCEEDED
        (scene.folder / "broken").touch()
        (child,) = worker.children()
        procs.send(child.pid, signal.SIGKILL)
        assert worker.wait() == 3
        shown = "".join(x for x in worker.text().splitlines(True) if not x.startswith("{"))
        assert shown.count("this release was not tested") == 1
        told = worker.logs("the app cannot be imported")
        assert [line["times"] for line in told] == [1, 2, 3]
        assert all("this release was not tested" in line["reason"] for line in told)
        assert worker.tree() == []
    assert [one.state for one in scene.store.workers(gone=True)] == ["gone"]


@pytest.mark.parametrize("flags", [[], ["--burst"]])
def test_an_app_that_fails_otherwise_each_time_ends_the_worker(
    scene: Scene, flags: list[str]
) -> None:
    """Three failures in a row are enough, whatever their words; each is told with its reason."""
    (scene.folder / "broken").touch()
    with odd(scene, "varying", flags=flags) as worker:
        assert worker.wait() == 3
        reasons = [line["reason"] for line in worker.logs("the app cannot be imported")]
        assert len(set(reasons)) == len(reasons) == 3
        assert all("is refused" in reason for reason in reasons)
        assert "│ ConnectionError: <Connection of process" in worker.text()


def test_a_worker_whose_children_cannot_be_replaced_ends(scene: Scene) -> None:
    """A release that fails otherwise each time ends a worker that has run, too."""
    with odd(scene, "varying", max_jobs=1) as worker:
        eventually(lambda: worker.logs("worker started"))
        (scene.folder / "broken").touch()
        (job,) = scene.store.enqueue([varying.work.bind().order.job])
        assert worker.wait() == 3
        assert scene.state(job.id) is State.SUCCEEDED
        assert "│ ConnectionError: <Connection of process" in worker.text()
        assert worker.tree() == []


def test_an_app_that_can_be_imported_again_is_worked_for(scene: Scene) -> None:
    """A trouble that passes ends no worker; while it lasts it counts among the restarts."""
    with odd(scene, "varying", restart_delay=2, renew=0.1) as worker:
        (job,) = scene.store.enqueue([varying.work.bind().order.job])
        assert scene.until(job.id).state is State.SUCCEEDED
        (scene.folder / "broken").touch()
        (child,) = worker.children()
        procs.send(child.pid, signal.SIGKILL)
        eventually(lambda: worker.logs("the app cannot be imported"))
        eventually(lambda: scene.store.workers()[0].restarts == 2)
        (scene.folder / "broken").unlink()
        (job,) = scene.store.enqueue([varying.work.bind().order.job])
        assert scene.until(job.id).state is State.SUCCEEDED
        assert worker.stop() == 0
