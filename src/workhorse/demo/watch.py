"""What the demo sees of its jobs, read from the store like anybody else would."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from workhorse.domain.events import Output
from workhorse.domain.job import Attempt, Job
from workhorse.store.protocol import ClientStore, JobFilter


@dataclass(frozen=True, slots=True)
class Sight:
    """One job at one moment: its row, its ended attempts, the processes it said it has."""

    job: Job
    attempts: Sequence[Attempt] = ()
    pids: Mapping[int, Sequence[int]] = field(default_factory=dict)
    """By attempt number, from the job's log line ``started``."""

    @property
    def outcomes(self) -> tuple[str, ...]:
        return tuple(attempt.outcome.value for attempt in self.attempts)

    @property
    def seconds_run(self) -> float:
        """How long its ended attempts ran, all together."""
        return sum(a.finished_at - a.started_at for a in self.attempts) / 1000

    @property
    def seconds_waited(self) -> float:
        """How long it was before its first attempt."""
        if not self.attempts:
            return 0.0
        return (self.attempts[0].started_at - self.job.enqueued_at) / 1000

    @property
    def result(self) -> Any:
        return None if self.job.result is None else json.loads(self.job.result)


def look(store: ClientStore, ids: Sequence[int]) -> dict[int, Job]:
    """Return the jobs as they are now, by id."""
    return {job.id: job for job in store.list_jobs(JobFilter(ids=ids), limit=len(ids))}


def see(store: ClientStore, job: Job) -> Sight:
    """Return all there is to see of one job."""
    pids: dict[int, list[int]] = {}
    for event in store.events(job_id=job.id, limit=5000):
        if event.name == Output.LOG and event.attempt and event.data.get("message") == "started":
            pids[event.attempt] = [int(pid) for pid in event.data.get("pids", ())]
    return Sight(job, store.attempts(job.id), pids)
