"""What the store returns, as the plain JSON data the command line prints.

These shapes are stable: keys are added, never renamed or removed. Instants are ISO 8601 in
UTC, with milliseconds; durations are seconds.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Final

from workhorse.domain.job import UNFINISHED
from workhorse.instants import instant

if TYPE_CHECKING:
    from workhorse.domain.events import Event
    from workhorse.domain.job import Attempt, Job, QueueStats, WorkerInfo

MINUTE: Final = 60
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

Json = dict[str, Any]


def job_row(job: Job) -> Json:
    """Return a job. `args` and `result` are the values themselves, not their JSON text."""
    return {
        "id": job.id,
        "kind": job.kind,
        "queue": job.queue,
        "state": str(job.state),
        "outcome": None if job.outcome is None else str(job.outcome),
        "priority": job.priority,
        "args": _value(job.args),
        "result": _value(job.result),
        "error": None if job.error is None else dict(job.error),
        "progress": job.progress,
        "message": job.message,
        "attempt": job.attempt,
        "failures": job.failures,
        "max_attempts": job.max_attempts,
        "crashes": job.crashes,
        "lost": job.lost,
        "timeout": job.timeout,
        "unique": job.unique,
        "idempotency_keys": list(job.idempotency_keys),
        "waits_for": list(job.waits_for),
        "cancel_requested": job.cancel_requested,
        "worker": job.worker,
        "enqueued_at": instant(job.enqueued_at),
        "run_at": instant(job.run_at),
        "started_at": instant(job.started_at),
        "finished_at": instant(job.finished_at),
        "duration": _seconds(job.started_at, job.finished_at),
    }


def attempt_row(attempt: Attempt) -> Json:
    """Return one ended attempt."""
    return {
        "attempt": attempt.attempt,
        "outcome": str(attempt.outcome),
        "worker": attempt.worker,
        "started_at": instant(attempt.started_at),
        "finished_at": instant(attempt.finished_at),
        "duration": _seconds(attempt.started_at, attempt.finished_at),
        "error": None if attempt.error is None else dict(attempt.error),
    }


def event_row(event: Event) -> Json:
    """Return one line of the record."""
    return {
        "seq": event.seq,
        "at": instant(event.at),
        "name": event.name,
        "job_id": event.job_id,
        "attempt": event.attempt,
        "worker": event.worker,
        "data": dict(event.data),
    }


def queue_row(queue: QueueStats) -> Json:
    """Return a queue, with a count for each unfinished state; the age is in seconds."""
    age = queue.oldest_available_age
    return {
        "name": queue.name,
        "paused": queue.paused,
        "counts": {str(state): queue.counts.get(state, 0) for state in UNFINISHED},
        "oldest_available_age": None if age is None else age / 1000,
    }


def worker_row(worker: WorkerInfo, expired: Collection[int]) -> Json:
    """Return a worker; one of `expired` that should be at work is silent."""
    silent = worker.state in {"alive", "draining"} and worker.id in expired
    return {
        "id": worker.id,
        "state": "silent" if silent else worker.state,
        "host": worker.host,
        "pid": worker.pid,
        "queues": list(worker.queues),
        "kinds": list(worker.kinds),
        "processes": worker.processes,
        "concurrency": worker.concurrency,
        "running": worker.running,
        "restarts": worker.restarts,
        "started_at": instant(worker.started_at),
        "lease_until": instant(worker.lease_until),
    }


def short_duration(seconds: float | None) -> str | None:
    """Return a duration for people: 12ms, 3.4s, 5m 20s, 2h 05m, 3d 4h."""
    if seconds is None:
        return None
    if seconds < 1:
        return f"{round(seconds * 1000)}ms"
    if seconds < MINUTE:
        return f"{seconds:.1f}s"
    if seconds < HOUR:
        return f"{int(seconds // MINUTE)}m {int(seconds % MINUTE):02}s"
    if seconds < 2 * DAY:
        return f"{int(seconds // HOUR)}h {int(seconds % HOUR // MINUTE):02}m"
    return f"{int(seconds // DAY)}d {int(seconds % DAY // HOUR)}h"


def _value(text: str | None) -> Any:
    """Return the value of a JSON text; what cannot be read comes back as it is."""
    if text is None:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _seconds(start: int | None, end: int | None) -> float | None:
    return None if start is None or end is None else (end - start) / 1000
