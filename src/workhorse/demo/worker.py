"""The demo's worker: a real `workhorse worker` in a process of its own, its log in a file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from workhorse.demo.workspace import Workspace

APP = "workhorse.demo.app:app"


@contextmanager
def running_worker(work: Workspace, *, drain: float = 10.0) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker on the demo's store, and drain it with SIGTERM in the end.

    A worker that has not ended `drain` seconds after SIGTERM is killed; its exit code says so.
    The user's own settings do not reach it: it gets a clean environment and folder.
    """
    command = [sys.executable, "-m", "workhorse", "worker", "--app", APP]
    command += ["--queues", "checks,trouble", "--processes", "1", "--concurrency", "8"]
    command += ["--shutdown-timeout", f"{drain / 2:g}"]
    with work.log.open("ab") as log:
        process = subprocess.Popen(
            command,
            cwd=work.root,
            env=_environment(work),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the demo, which then drains its worker
        )
    try:
        yield process
    finally:
        _drain(process, drain)


def _environment(work: Workspace) -> dict[str, str]:
    ours = {k: v for k, v in os.environ.items() if not k.startswith("WORKHORSE_")}
    return {**ours, "WORKHORSE_DATABASE_URL": work.url}


def _drain(process: subprocess.Popen[bytes], seconds: float) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(seconds)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        process.kill()
        process.wait()
