"""What a worker shares with its surroundings: its log, its signals, what its handlers start."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.scenarios import procs
from tests.scenarios.facts import eventually
from tests.scenarios.scene import Scene
from tests.scenarios.workers import WorkerProcess
from workhorse.domain.job import State

KINDS = ["async", "thread", "process"]
FULL_DISK = ("sh", "-c", 'exec "$@" >/dev/full 2>&1', "sh")
INTO_A_CLOSED_PIPE = """
import os, sys
end, pipe = os.pipe()
os.close(end)
for stream in (1, 2):
    os.dup2(pipe, stream)
os.execv(sys.argv[1], sys.argv[1:])
"""
NOT_UNDER_NOHUP = """
import os, signal, sys
signal.signal(signal.SIGHUP, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])
"""
INTO_AN_UNREAD_PIPE = """
import fcntl, os, sys
end, pipe = os.pipe()
fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 4096)
os.set_inheritable(end, True)
for stream in (1, 2):
    os.dup2(pipe, stream)
os.execv(sys.argv[1], sys.argv[1:])
"""
UNREAD_PIPE = (sys.executable, "-c", INTO_AN_UNREAD_PIPE)
CLOSED_PIPE = (sys.executable, "-c", INTO_A_CLOSED_PIPE)


def kind_of(name: str, run: str) -> str:
    return name if run == "async" else f"{name}_{run}"


@pytest.mark.parametrize("within", [FULL_DISK, CLOSED_PIPE], ids=["full disk", "closed pipe"])
def test_a_log_that_cannot_be_written(scene: Scene, within: tuple[str, ...]) -> None:
    """Work goes on without it, also that of handlers that print."""
    worker = scene.worker(within=within)
    jobs = [getattr(scene.jobs, kind_of("chatty", run)).enqueue().id for run in KINDS]
    for job in jobs:
        assert scene.until(job).state is State.SUCCEEDED
        assert scene.starts(job) == 1
    assert worker.stop() == 0
    assert worker.text() == ""


def test_a_log_that_nobody_reads(scene: Scene) -> None:
    """Work goes on, also that of handlers that print, and the worker ends when it is told to."""
    worker = scene.worker(within=UNREAD_PIPE, concurrency=4, log_format="json")
    quick = [scene.jobs.quick.enqueue().id for _ in range(60)]
    chatty = [getattr(scene.jobs, kind_of("chatty", run)).enqueue().id for run in KINDS]
    for job in quick + chatty:
        assert scene.until(job).state is State.SUCCEEDED
        assert scene.starts(job) == 1
    asked = time.monotonic()
    assert worker.stop() == 0
    assert time.monotonic() - asked < 10


def test_a_hang_up_comes_twice(scene: Scene) -> None:
    """From the terminal, and from its shell: what can still end has its time all the same."""
    worker = scene.worker(within=(sys.executable, "-c", NOT_UNDER_NOHUP), shutdown_timeout=20)
    job = scene.jobs.nap.enqueue(4).id
    scene.until_told("start", job=job)
    worker.send(signal.SIGHUP)
    eventually(lambda: worker.logs("told to stop"))
    assert scene.state(job) is State.RUNNING
    worker.send(signal.SIGHUP)
    assert worker.wait() == 0
    assert scene.state(job) is State.SUCCEEDED


def test_a_hang_up_that_is_not_for_it(scene: Scene) -> None:
    """Under `nohup` it stays when its terminal goes."""
    worker = scene.worker(within=("nohup",))
    assert scene.until(scene.jobs.quick.enqueue().id).state is State.SUCCEEDED
    worker.send(signal.SIGHUP)
    assert scene.until(scene.jobs.quick.enqueue().id).state is State.SUCCEEDED
    assert worker.stop() == 0
    assert not [line for line in worker.logs("told to stop") if line["signal"] == "SIGHUP"]


@pytest.mark.parametrize("run", KINDS)
def test_a_program_that_a_handler_started(scene: Scene, run: str) -> None:
    """It can be told to end, as one that was started anywhere else: no signal is ignored in it."""
    scene.worker()
    job = getattr(scene.jobs, kind_of("stopper", run)).enqueue().id
    assert scene.until(job).state is State.SUCCEEDED
    assert scene.result(job) == -signal.SIGTERM


@pytest.mark.parametrize("run", KINDS)
def test_a_pool_that_a_handler_forked(scene: Scene, run: str) -> None:
    """Its processes end when they are told to, and so does the job; again and again."""
    scene.worker(concurrency=2)
    kind = getattr(scene.jobs, kind_of("pooler", run))
    for handle in scene.app.enqueue_many([kind.bind() for _ in range(10)]):
        assert scene.until(handle.id).state is State.SUCCEEDED
        assert scene.result(handle.id) == [3, 2, 1]


@pytest.mark.parametrize("run", [*KINDS, "async_process"])
def test_a_fork_that_leaves_the_handler(scene: Scene, run: str) -> None:
    """It ends there as a program does, with what it printed; the job is that of its parent."""
    worker = scene.worker(concurrency=1)
    kind = getattr(scene.jobs, kind_of("forker", run))
    ends = {"return": 0, "raise": 1, "exit": 3, "exit with words": 1}
    said = []
    for how, status in ends.items():
        job = kind.enqueue(how).id
        assert scene.until(job).state is State.SUCCEEDED, scene.job(job)
        assert scene.result(job) == status
        said += [event.data["message"] for event in scene.events(job, "log")]
    text = "\n".join(said) + worker.text()
    assert text.count("printed by a fork") == len(ends)
    assert text.count("ValueError: raised in a fork") == 1
    assert text.count("words of a fork") == 1
    assert "said by a fork" not in text
    eventually(lambda: not forks(worker), what="no fork to be left")


def forks(worker: WorkerProcess) -> list[int]:
    """Return those of a worker's processes below its children that are no runners of jobs."""
    below = [one for child in worker.children() for one in procs.children(child.pid)]
    runners = [one for one in below if "engine.runner" in one.command]
    return [one.pid for one in below if one not in runners] + [
        one.pid for runner in runners for one in procs.children(runner.pid)
    ]


@pytest.mark.parametrize("run", ["async", "async_process"])
def test_a_fork_that_waits_in_its_parents_loop(scene: Scene, run: str) -> None:
    """It ends there, with an error: neither it nor any other task goes on in it."""
    scene.worker()
    job = getattr(scene.jobs, kind_of("forker", run)).enqueue("wait").id
    assert scene.until(job).state is State.SUCCEEDED
    assert scene.result(job) == 1
    assert scene.told("strayed") == []


def test_a_fork_that_leaves_a_task_of_the_handlers(scene: Scene) -> None:
    """It ends there as one that leaves the handler itself."""
    scene.worker()
    job = scene.jobs.forker.enqueue("in a task").id
    assert scene.until(job).state is State.SUCCEEDED
    assert scene.result(job) == 3


def test_signals_meant_for_its_supervisor(scene: Scene) -> None:
    """A child that gets one itself, from whoever signals a whole group, goes on with its jobs."""
    worker = scene.worker(within=(sys.executable, "-c", NOT_UNDER_NOHUP)).ready()
    job = scene.jobs.nap.enqueue(1).id
    scene.until_told("start", job=job)
    (child,) = worker.children()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        procs.send(child.pid, number)
    assert scene.until(job).state is State.SUCCEEDED
    assert scene.starts(job) == 1
    assert [process.pid for process in worker.children()] == [child.pid]


def test_a_signal_to_the_whole_group(scene: Scene) -> None:
    """SIGTERM to each process of a worker, as systemd sends it by default, is an ordinary drain.

    What runs goes on within the grace, whatever its executor; only its supervisor decides.
    """
    worker = scene.worker(shutdown_timeout=20).ready()
    kinds = (scene.jobs.nap, scene.jobs.nap_thread, scene.jobs.nap_process)
    jobs = [kind.using(max_attempts=1).enqueue(2.0).id for kind in kinds]
    for job in jobs:
        scene.until_told("start", job=job)
    for process in worker.tree():
        procs.send(process.pid, signal.SIGTERM)
    assert worker.wait() == 0
    assert [(scene.state(job), scene.starts(job)) for job in jobs] == [(State.SUCCEEDED, 1)] * 3


def test_what_runs_jobs_goes_first_when_memory_runs_out(scene: Scene) -> None:
    """The kernel takes the child or a job's process before the supervisor and the warden."""
    worker = scene.worker()
    told = scene.until_told("start", job=scene.jobs.nap_process.enqueue(60).id)
    (child,) = worker.children()

    def score(pid: int) -> int:
        return int(Path(f"/proc/{pid}/oom_score_adj").read_text())

    assert score(child.pid) == score(told.data["pid"]) == 800
    (warden,) = worker.wardens()
    assert score(worker.pid) == score(warden.pid) == score(os.getpid())
