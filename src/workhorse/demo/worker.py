"""The demo's worker: a real `workhorse worker` in a process of its own, its log in a file."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from workhorse.demo.workspace import Workspace

APP = "workhorse.demo.app:app"


@contextmanager
def running_worker(work: Workspace, *, drain: float = 4.0) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker on the demo's store, and drain it with SIGTERM in the end.

    A worker that has not ended `drain` seconds after SIGTERM, or at the user's second Ctrl-C,
    is killed; its exit code says so. The user's own settings do not reach it: it gets a clean
    environment and an empty folder. When this process is killed, so is the worker.
    """
    command = [sys.executable, "-m", "workhorse.demo.leash", str(os.getpid())]
    command += ["worker", "--app", APP, "--queues", "checks,trouble", "--concurrency", "8"]
    command += ["--shutdown-timeout", f"{drain / 2:g}", "--cancel-grace", "1"]
    command += ["--log-format", "pretty"]
    with work.log.open("ab") as log:
        process = subprocess.Popen(
            command,
            cwd=work.files,
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
        process.terminate()
    try:
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
