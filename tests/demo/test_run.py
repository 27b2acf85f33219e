"""The demo itself: a real worker, real kills, and an exit code that tells how it went."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.demo.sights import Terminal
from tests.scenarios import procs
from workhorse.demo import worker
from workhorse.demo.plan import Act
from workhorse.demo.run import run_demo
from workhorse.domain.job import State
from workhorse.store.opening import open_store
from workhorse.store.protocol import JobFilter

ROOT = Path(".workhorse")
REMIND = Act("remind", "says something", {"text": "tea"})


def only(*acts: Act) -> Callable[[Path, Path], Sequence[Act]]:
    return lambda _project, _into: acts


@pytest.fixture
def demo(workdir: Path) -> Iterator[subprocess.Popen[str]]:
    """`workhorse demo` in an empty folder, as a user starts it."""
    with subprocess.Popen(
        [sys.executable, "-m", "workhorse", "demo"],
        cwd=workdir,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        yield process
        process.kill()


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """Return the line that has `text`; fail when the demo ends without it."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return line
    pytest.fail(f"{text!r} never came: {''.join(lines)}")


def the_worker(of: subprocess.Popen[str]) -> int:
    """Return the supervisor that this demo has started."""
    [supervisor] = procs.children(of.pid)
    return supervisor.pid


def tree(pid: int) -> list[int]:
    """Return a process and all below it."""
    return [pid, *(below for child in procs.children(pid) for below in tree(child.pid))]


def wait_until_gone(pids: Sequence[int], seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while left := procs.living(pids):
        assert time.monotonic() < end, f"{left} live on"
        time.sleep(0.02)


def test_every_job_ends_as_announced(demo: subprocess.Popen[str], workdir: Path) -> None:
    """Exit 0; a row for each of the eight jobs, and what they made lies in the folder."""
    out, _ = demo.communicate()
    assert demo.returncode == 0, out
    rows = re.findall(r"^ ✓ (\w+) .* (\w+) +(\d)  (\w.*?)  ", out, re.MULTILINE)
    assert rows == [
        ("build", "succeeded", "1", "ok"),
        ("test", "succeeded", "1", "ok"),
        ("lint", "succeeded", "1", "ok"),
        ("fetch", "succeeded", "3", "error ×2, ok"),
        ("stuck", "failed", "1", "timed_out"),
        ("render", "succeeded", "2", "crashed, ok"),
        ("export", "cancelled", "1", "cancelled"),
        ("remind", "succeeded", "1", "ok"),
    ]
    assert "13 passed, 1 failed" in out
    assert "All 8 jobs ended as announced" in out
    assert sorted(path.name for path in (workdir / ROOT / "demo").rglob("*.*")) == [
        "basket-1.4.0-py3-none-any.whl",
        "basket-1.4.0.tar.gz",
    ]


def test_a_job_that_ends_otherwise_fails_the_demo(workdir: Path) -> None:
    """Exit 1, and the job is named."""
    out = Terminal(tty=False)
    wrong = Act("remind", "is said to fail", {"text": "tea"}, state=State.FAILED)
    assert run_demo(ROOT, plan=only(REMIND, wrong), out=out) == 1
    assert " ✗ remind: it is succeeded, and should be failed\n" in out.written
    assert out.written.count("✗ remind") == 2


def test_ctrl_c_drains_the_worker(demo: subprocess.Popen[str], workdir: Path) -> None:
    """Exit 130; no process of the worker is left, and what ran was given back."""
    read_until(demo, "export  running")
    supervisor = the_worker(demo)
    demo.send_signal(signal.SIGINT)
    read_until(demo, "interrupted: the worker drains")
    assert demo.wait(20) == 130
    assert procs.living([supervisor]) == []
    store = open_store(f"sqlite:///{workdir / ROOT / 'demo.db'}")
    [export] = store.list_jobs(JobFilter(kinds=["export"]))
    states = {job.state for job in store.list_jobs(JobFilter())}
    assert store.workers() == []
    store.close()
    assert (export.state, export.outcome) == (State.AVAILABLE, "released")
    assert State.RUNNING not in states


def test_a_killed_demo_leaves_no_worker(demo: subprocess.Popen[str]) -> None:
    """Whatever ends the demo ends its worker, and all that the worker started."""
    read_until(demo, "stuck   running")
    worker_and_jobs = tree(the_worker(demo))
    assert len(worker_and_jobs) > 3
    demo.kill()
    wait_until_gone(worker_and_jobs)


def test_a_worker_that_dies_at_once_is_reported(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 1 without waiting for the jobs; the end of the worker's log says why it died."""
    monkeypatch.setattr(worker, "APP", "no_such_module:app")
    out = Terminal(tty=False)
    assert run_demo(ROOT, plan=only(REMIND), out=out) == 1
    assert "✗ worker: it ended with exit code 3 before its jobs did" in out.written
    assert re.search("│ .*no_such_module", out.written)
    assert "✗ remind: it has not ended: it is available" in out.written


def test_a_worker_that_is_killed_is_reported(demo: subprocess.Popen[str]) -> None:
    """Exit 1 at once, with how the worker ended; the jobs it held are named as not ended."""
    read_until(demo, "stuck   running")
    supervisor = the_worker(demo)
    procs.send(supervisor, signal.SIGKILL)
    out, _ = demo.communicate(timeout=20)
    assert demo.returncode == 1
    assert "✗ worker: it ended by SIGKILL before its jobs did" in out
    assert "✗ stuck: it has not ended: it is running" in out


def test_the_demo_does_not_wait_for_ever(workdir: Path) -> None:
    """After its deadline it says which jobs had not ended."""
    out = Terminal(tty=False)
    late = Act("remind", "comes too late", {"text": "tea"}, delay=3600.0)
    assert run_demo(ROOT, plan=only(late), deadline=0.5, out=out) == 1
    assert "gave up waiting" in out.written
    assert "✗ remind: it has not ended: it is scheduled" in out.written


def test_the_users_settings_do_not_reach_the_demo(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a variable nor a file of the user's own app changes what the demo does."""
    (workdir / "workhorse.toml").write_text('app = "mine:app"\nqueues = ["mine"]\n')
    monkeypatch.setenv("WORKHORSE_DATABASE_URL", f"sqlite:///{workdir / 'mine.db'}")
    for name in ("CONCURRENCY", "PROCESSES"):  # the demo gives the one to its worker, not the other
        monkeypatch.setenv(f"WORKHORSE_{name}", "none of your business")
    out = Terminal(tty=False)
    assert run_demo(workdir, plan=only(REMIND), out=out) == 0
    assert not (workdir / "mine.db").exists()
