"""Reading the store's final word, in the oracle's terms."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from tests.scenarios.oracle import AttemptEnd, Content, JobEnd
from workhorse.domain.events import Event
from workhorse.domain.job import Job
from workhorse.store.protocol import ClientStore, JobFilter

PAGE: Final = 1000
ENDS: Final = {"complete", "retry", "snooze", "release", "fail", "cancel", "rescue"}


def read_content(store: ClientStore) -> Content:
    """Return what the store says in the end of every job, attempt and completion."""
    pids = {worker.id: worker.pid for worker in store.workers(gone=True)}
    # Both clocks are this machine's; nobody sets them while a run is judged.
    offset = time.time_ns() - time.monotonic_ns()
    claims: dict[tuple[int, int], Event] = {}
    completes: dict[int, list[int]] = defaultdict(list)
    attempts = []
    for event in _events(store):
        if event.job_id is None or event.attempt is None:
            continue
        key = (event.job_id, event.attempt)
        if event.name == "claim":
            claims[key] = event
        elif event.name in ENDS and key in claims:
            claim = claims[key]
            if event.name == "complete":
                completes[event.job_id].append(event.attempt)
            attempts.append(
                AttemptEnd(
                    *key,
                    worker=pids[claim.worker or 0],
                    claimed=claim.at * 1_000_000 - offset,
                    ended=event.at * 1_000_000 - offset,
                    outcome="ok" if event.name == "complete" else str(event.data["outcome"]),
                )
            )
    jobs = {job.id: _job_end(job) for job in _jobs(store)}
    return Content(jobs, attempts, completes, set(pids.values()))


def _job_end(job: Job) -> JobEnd:
    returned = None if job.result is None else json.loads(job.result)
    return JobEnd(str(job.state), job.attempt, returned)


def _jobs(store: ClientStore) -> Iterator[Job]:
    before = None
    while page := store.list_jobs(JobFilter(), limit=PAGE, before=before):
        yield from page
        before = page[-1].id


def _events(store: ClientStore) -> Iterator[Event]:
    after = 0
    while page := store.events(after=after, limit=PAGE, output=False):
        yield from page
        after = page[-1].seq
