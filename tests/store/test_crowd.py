"""Many processes with many threads on one store: each waits its turn, nobody is turned away."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.store.backends import Backend
from tests.store.crowd import Report, crowd, report_of
from tests.store.hands import ALL, OK, Worker, settled
from workhorse.domain.job import State
from workhorse.store.opening import open_store
from workhorse.store.protocol import JobFilter

SECONDS = float(os.environ.get("SCENARIO_SECONDS", "5"))
PROCESSES = 8
SLOW = 1.0
"""Seconds for which the slow reader keeps what it reads from."""


@contextmanager
def a_slow_reader(backend: Backend, url: str) -> Iterator[None]:
    """Read the jobs all the time, as a program that is in no hurry to be done with them."""
    stop = threading.Event()

    def read() -> None:
        with closing(open_store(url)) as store, backend.connect(url) as connection:
            while not stop.is_set():
                rows = connection.execute(f"select id from {backend.jobs}")
                rows.fetchone()
                stop.wait(SLOW)
                rows.close()
                connection.rollback()
                store.list_jobs(JobFilter(), limit=1000), store.health(), store.queues()

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read)
        try:
            yield
        finally:
            stop.set()
            reading.result(60)


def excesses(backend: Backend, url: str, running: list[object]) -> set[str]:
    """Look every moment what has outgrown its bound, until the crowd has ended."""
    found = set()
    while any(one.poll() is None for one in running):  # type: ignore[attr-defined]
        if excess := backend.excess(url):
            found.add(excess)
        time.sleep(0.05)
    return found


@pytest.mark.alone
@pytest.mark.timeout(SECONDS + 120)
def test_a_crowd(backend: Backend, tmp_path: Path) -> None:
    """No error reaches a caller, nothing acknowledged is lost, no job is ended twice.

    SCENARIO_SECONDS says for how long. What is not a file is played for half of it.
    """
    seconds = SECONDS if backend.name == "sqlite" else SECONDS / 2
    with backend.place(tmp_path, durable=True) as url:
        open_store(url).close()
        whole = Report()
        with a_slow_reader(backend, url), crowd(url, seconds, PROCESSES) as processes:
            with ThreadPoolExecutor(PROCESSES) as pool:
                reports = pool.map(report_of, processes)
                found = excesses(backend, url, list(processes))
            for report in reports:
                whole.add(report)
        print(
            f"{backend.name}, {seconds:g} s: {len(whole.acknowledged)} enqueued, "
            f"{len(whole.ended)} ended, {len(whole.errors)} errors, longest {whole.longest:.2f} s"
        )
        assert whole.errors == []
        assert found == set()
        with closing(open_store(url)) as store:
            worker = Worker(store)
            while left := worker.claim(1000):
                assert not whole.ended.keys() & {job.id for job in left}
                worker.turn([settled(job, OK) for job in left])
            jobs = {job.id: job for job in store.list_jobs(JobFilter(), limit=ALL)}
        assert sorted(jobs) == sorted(whole.acknowledged)
        assert {(job.state, job.attempt) for job in jobs.values()} == {(State.SUCCEEDED, 1)}
        assert all(jobs[id].result == json.dumps(mark) for id, mark in whole.ended.items())
        assert len(whole.ended) > 100
