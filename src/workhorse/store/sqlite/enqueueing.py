"""enqueue: → available, scheduled or blocked."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, Final

from workhorse.domain.errors import Conflict, NotFound
from workhorse.domain.job import Enqueued, NewJob, State
from workhorse.store.sqlite.fast_json import compact
from workhorse.store.sqlite.rows import backoff_text, slices
from workhorse.store.sqlite.statements import statements

JOBS: Final = statements("jobs")
EVENTS: Final = statements("events")
DEPENDENCIES: Final = statements("dependencies")


def enqueue(connection: sqlite3.Connection, jobs: Sequence[NewJob], now: int) -> list[Enqueued]:
    """Store `jobs` inside the open transaction of `connection`; answer in their order."""
    cursor = connection.cursor()
    cursor.row_factory = None
    answers: list[Enqueued] = []
    for alike in runs(jobs):
        if len(alike) == 1:
            answers.append(_enqueue_one(cursor, alike[0], now))
        else:
            answers.extend(_enqueue_run(cursor, alike, now))
    return answers


def runs(jobs: Sequence[NewJob]) -> Iterator[Sequence[NewJob]]:
    """Yield neighbours that differ in nothing but their arguments; the particular ones alone."""
    if len(jobs) == 1:
        yield jobs
        return
    for _, alike in groupby(jobs, key=_options):
        yield from slices(list(alike))


def _options(job: NewJob) -> object:
    if job.unique is not None or job.after:
        return object()
    return (
        job.kind, job.queue, job.priority, job.max_attempts, job.delay, job.run_at, job.timeout,
        job.backoff,
    )  # fmt: skip


def _enqueue_run(cursor: sqlite3.Cursor, jobs: Sequence[NewJob], now: int) -> Iterator[Enqueued]:
    state, row = _row(jobs[0], now)
    row["args"] = compact([job.args for job in jobs])
    last = cursor.execute(JOBS["enqueue"], row).lastrowid
    assert last is not None
    first = last - len(jobs) + 1
    among = {"now": now, "state": state.value, "first": first, "last": last}
    cursor.execute(EVENTS["enqueued"], among)
    return (Enqueued(number, state, existing=False) for number in range(first, last + 1))


def _enqueue_one(cursor: sqlite3.Cursor, job: NewJob, now: int) -> Enqueued:
    waits_for = _waits_for(cursor, job.after) if job.after else ()
    state, row = _row(job, now, blocked=bool(waits_for))
    row["unique"] = job.unique
    cursor.execute(JOBS["enqueue_one"], row)
    if not cursor.rowcount:
        (holder, held) = cursor.execute(JOBS["holder"], row).fetchone()
        return Enqueued(holder, State(held), existing=True)
    added = cursor.lastrowid
    assert added is not None
    if waits_for:
        cursor.execute(DEPENDENCIES["add"], {"id": added, "after": compact(waits_for)})
    cursor.execute(EVENTS["enqueued_one"], {"now": now, "state": state.value, "id": added})
    return Enqueued(added, state, existing=False)


def _row(job: NewJob, now: int, *, blocked: bool = False) -> tuple[State, dict[str, Any]]:
    run_at = now + round(job.delay * 1000) if job.run_at is None else job.run_at
    state = State.SCHEDULED if run_at > now else State.AVAILABLE
    if blocked:
        state = State.BLOCKED
    return state, {
        "kind": job.kind,
        "queue": job.queue,
        "state": state.value,
        "priority": job.priority,
        "args": job.args,
        "max_attempts": job.max_attempts,
        "timeout": job.timeout or 0,
        "backoff": backoff_text(job.backoff),
        "now": now,
        "run_at": run_at,
    }


def _waits_for(cursor: sqlite3.Cursor, after: Sequence[int]) -> list[int]:
    """Return the jobs that have still to succeed; refuse one that never will."""
    found = []
    for job_id in dict.fromkeys(after):
        row = cursor.execute(JOBS["state"], {"id": job_id}).fetchone()
        if row is None:
            raise NotFound(f"There is no job {job_id} to wait for.")
        state = State(row[0])
        if state in {State.FAILED, State.CANCELLED}:
            raise Conflict(f"Job {job_id} has {state}: a job after it could never start.")
        if state is not State.SUCCEEDED:
            found.append(job_id)
    return found
