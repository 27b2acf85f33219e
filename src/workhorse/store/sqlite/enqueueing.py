"""enqueue: → available, scheduled or blocked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from workhorse.domain.errors import Conflict, NotFound
from workhorse.domain.job import Enqueued, NewJob, State
from workhorse.store.rows import backoff_text, compact, slices
from workhorse.store.sqlite.transaction import SqliteTransaction


def enqueue(tx: SqliteTransaction, jobs: Sequence[NewJob]) -> list[Enqueued]:
    """Store `jobs` inside the open transaction; answer in their order."""
    answers: list[Enqueued] = []
    for alike in runs(jobs):
        first = alike[0]
        if first.unique is not None or first.after:
            answers.append(_enqueue_one(tx, first))
        else:
            answers.extend(_enqueue_run(tx, alike))
    return answers


def runs(jobs: Iterable[NewJob]) -> Iterator[Sequence[NewJob]]:
    """Yield neighbours that differ in nothing but their arguments; the particular ones alone."""
    for _, alike in groupby(jobs, key=_options):
        yield from slices(list(alike))


def _options(job: NewJob) -> object:
    if job.unique is not None or job.after:
        return object()
    return (
        job.kind, job.queue, job.priority, job.max_attempts, job.delay, job.run_at, job.timeout,
        job.backoff,
    )  # fmt: skip


def _enqueue_run(tx: SqliteTransaction, jobs: Sequence[NewJob]) -> Iterator[Enqueued]:
    row = _row(jobs[0], tx.now)
    last = tx.run("jobs.enqueue", **row, args=compact([job.args for job in jobs])).lastrowid
    assert last is not None
    first = last - len(jobs) + 1
    state = State(row["state"])
    _record(tx, first, last, state)
    return (Enqueued(number, state, existing=False) for number in range(first, last + 1))


def _enqueue_one(tx: SqliteTransaction, job: NewJob) -> Enqueued:
    waits_for = [number for number in dict.fromkeys(job.after) if _must_wait(tx, number)]
    row = _row(job, tx.now)
    if waits_for:
        row["state"] = State.BLOCKED.value
    stored = tx.run("jobs.enqueue_unique", **row, args=job.args, unique=job.unique)
    if not stored.rowcount:
        (holder, state) = tx.run("jobs.holder", unique=job.unique).fetchone()
        return Enqueued(holder, State(state), existing=True)
    added = stored.lastrowid
    assert added is not None
    if waits_for:
        tx.run("dependencies.add", id=added, after=compact(waits_for))
    state = State(row["state"])
    _record(tx, added, added, state)
    return Enqueued(added, state, existing=False)


def _row(job: NewJob, now: int) -> dict[str, Any]:
    run_at = job.run_at if job.run_at is not None else now + round(job.delay * 1000)
    return {
        "kind": job.kind,
        "queue": job.queue,
        "state": "scheduled" if run_at > now else "available",
        "priority": job.priority,
        "max_attempts": job.max_attempts,
        "timeout": job.timeout,
        "backoff": backoff_text(job.backoff),
        "run_at": run_at,
    }


def _record(tx: SqliteTransaction, first: int, last: int, state: State) -> None:
    """Write an event for each new job; it names the state when that is not `available`."""
    data = None if state is State.AVAILABLE else compact({"state": state})
    tx.run("events.enqueued", first=first, last=last, data=data)


def _must_wait(tx: SqliteTransaction, job_id: int) -> bool:
    """Tell whether a job has still to succeed; refuse one that never will."""
    if tx.value("jobs.lock", id=job_id) is not None:
        return True
    ended = tx.value("jobs.lock_ended", id=job_id)
    if ended is None:
        raise NotFound(f"There is no job {job_id} to wait for.")
    state = State(ended)
    if state in {State.FAILED, State.CANCELLED}:
        raise Conflict(f"Job {job_id} has {state}: a job after it could never start.")
    return state is not State.SUCCEEDED
