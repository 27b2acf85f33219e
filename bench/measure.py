"""One measurement: a client or a worker of a peer, started, watched and ended."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from bench import procs
from bench.peers.protocol import Command, Peer

ROOT: Final = Path(__file__).parent.parent
PATIENCE: Final = 180.0
"""Seconds after which a measurement is given up: a number that never comes is a failure."""
BUILD_PATIENCE: Final = 900.0
"""The same for making a large store."""

Figures = dict[str, float]


class Stuck(Exception):
    """A peer did not do what it was asked, or not within `PATIENCE`."""


def run_client(client: Command, operation: str, *arguments: Any) -> Figures:
    """Carry out an operation of `bench.client` in a fresh process and return its figures."""
    try:
        done = subprocess.run(
            [*client.arguments, operation, json.dumps(arguments)],
            cwd=ROOT,
            env={**os.environ, **client.environment},
            stdout=subprocess.PIPE,
            text=True,
            timeout=PATIENCE,
            check=True,
        )
    except subprocess.SubprocessError as error:
        raise Stuck(str(error)) from error
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


def drain(peer: Peer, folder: Path, count: int) -> Figures:
    """Fill the store with `count` jobs, start one worker, and time it.

    From the start of the first job's handler to the last handler's and no unfinished row left
    in the store, whichever is later. CPU is that of the worker's whole process tree, and of the
    peer's server, in this time; the first job notes its own process's share, so that start-up
    does not count.
    """
    _forget_marks(folder)
    run_client(peer.client(folder), "fill", count)
    with peer.unfinished(folder) as unfinished, running_worker(peer, folder) as worker:
        first = _wait_for_mark(folder / "first", worker)
        roots = [worker.pid, *peer.servers()]
        used = sum(map(procs.tree_ns, roots)) - procs.cpu_ns(first["pid"]) + first["cpu"]
        last = _wait_for_mark(folder / "last", worker, every=0.005)  # looking costs CPU, too
        wait_until(lambda: not unfinished(), worker, every=0.001)
        end = max(last["at"], time.monotonic_ns())
        cpu = sum(map(procs.tree_ns, roots)) - used
        tree = procs.tree(worker.pid)
        rss = procs.peak_rss_mib(first["pid"])
        whole = sum(map(procs.pss_mib, tree))
    return {
        "per_second": count / (end - first["at"]) * 1e9,
        "cpu_ms_per_1000": cpu / 1e6 / count * 1000,
        "rss_mib": rss,
        "whole_mib": whole,
    }


def run_jobs(peer: Peer, folder: Path, count: int) -> None:
    """Enqueue `count` bare jobs and have one worker run them all. Not timed."""
    run_client(peer.client(folder), "noops", count)
    with peer.unfinished(folder) as unfinished, running_worker(peer, folder) as worker:
        wait_until(lambda: not unfinished(), worker, patience=BUILD_PATIENCE)


def latency(peer: Peer, folder: Path, seconds: float, every: float) -> Figures:
    """Let a worker idle, then give it a job each `every` s: enqueue call to handler start, ms."""
    ages = folder / "ages"
    count = int(seconds / every)
    client = peer.client(folder)
    with running_worker(peer, folder) as worker:
        _forget_marks(folder)
        run_client(client, "fill", 2)
        _wait_for_mark(folder / "last", worker)
        time.sleep(0.5)
        run_client(client, "latency", count, every)
        wait_until(lambda: ages.is_file() and len(ages.read_bytes().splitlines()) >= count, worker)
    values = sorted(int(line) / 1e6 for line in ages.read_text().split())
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return {"p50": cuts[49], "p95": cuts[94], "p99": cuts[98], "max": values[-1]}


@contextmanager
def running_worker(peer: Peer, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run one worker of the peer; end it as its users would, and kill it if it lingers."""
    command = peer.worker(folder)
    with log_of(folder).open("ab") as log:
        process = subprocess.Popen(
            command.arguments,
            cwd=ROOT,
            env={**os.environ, **command.environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    except Stuck as error:
        error.add_note(log_of(folder).read_text(errors="replace")[-4000:])
        raise
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def log_of(folder: Path) -> Path:
    return folder / "worker.log"


def wait_until(
    is_so: Callable[[], bool],
    worker: subprocess.Popen[bytes],
    *,
    every: float = 0.01,
    patience: float = PATIENCE,
) -> None:
    """Wait for a fact; `Stuck` when the worker ends first, or after `patience` seconds."""
    limit = time.monotonic() + patience
    while not is_so():
        if worker.poll() is not None:
            raise Stuck(f"the worker ended with {worker.returncode}: {worker.args!r}")
        if time.monotonic() > limit:
            raise Stuck(f"no end after {patience:g} s: {worker.args!r}")
        time.sleep(every)


def _forget_marks(folder: Path) -> None:
    for name in ("first", "last"):
        (folder / name).unlink(missing_ok=True)


def _wait_for_mark(
    path: Path, worker: subprocess.Popen[bytes], *, every: float = 0.001
) -> dict[str, int]:
    wait_until(path.exists, worker, every=every)
    facts: dict[str, int] = json.loads(path.read_text())
    return facts
