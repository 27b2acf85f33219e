"""enqueue: → available, scheduled or blocked."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, Final

from workhorse.domain.errors import Conflict, NotFound
from workhorse.domain.job import Enqueued, NewJob, State
from workhorse.store.sqlite.rows import backoff_text, compact, slices
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
        first = alike[0]
        if first.unique is not None or first.after:
            answers.append(_enqueue_one(cursor, first, now))
        else:
            answers.extend(_enqueue_run(cursor, alike, now))
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


def _enqueue_run(cursor: sqlite3.Cursor, jobs: Sequence[NewJob], now: int) -> Iterator[Enqueued]:
    row = _row(jobs[0], now)
    row["args"] = compact([job.args for job in jobs])
    cursor.execute(JOBS["enqueue"], row)
    last = cursor.lastrowid
    assert last is not None
    first = last - len(jobs) + 1
    _record(cursor, first, last, row)
    state = State(row["state"])
    return (Enqueued(number, state, existing=False) for number in range(first, last + 1))


def _enqueue_one(cursor: sqlite3.Cursor, job: NewJob, now: int) -> Enqueued:
    waits_for = [number for number in dict.fromkeys(job.after) if _must_wait(cursor, number)]
    row = _row(job, now)
    if waits_for:
        row["state"] = State.BLOCKED.value
    row |= {"args": job.args, "unique": job.unique}
    cursor.execute(JOBS["enqueue_unique"], row)
    if not cursor.rowcount:
        (holder, state) = cursor.execute(JOBS["holder"], {"unique": job.unique}).fetchone()
        return Enqueued(holder, State(state), existing=True)
    assert cursor.lastrowid is not None
    added = cursor.lastrowid
    if waits_for:
        cursor.execute(DEPENDENCIES["add"], {"id": added, "after": compact(waits_for)})
    _record(cursor, added, added, row)
    return Enqueued(added, State(row["state"]), existing=False)


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
        "now": now,
        "run_at": run_at,
    }


def _record(cursor: sqlite3.Cursor, first: int, last: int, row: dict[str, Any]) -> None:
    """Write an event for each new job; it names the state when that is not `available`."""
    state = row["state"]
    data = None if state == "available" else compact({"state": state})
    found = {"now": row["now"], "first": first, "last": last, "data": data}
    cursor.execute(EVENTS["enqueued"], found)


def _must_wait(cursor: sqlite3.Cursor, job_id: int) -> bool:
    """Tell whether a job has still to succeed; refuse one that never will."""
    found = cursor.execute(JOBS["state"], {"id": job_id}).fetchone()
    if found is None:
        raise NotFound(f"There is no job {job_id} to wait for.")
    state = State(found[0])
    if state in {State.FAILED, State.CANCELLED}:
        raise Conflict(f"Job {job_id} has {state}: a job after it could never start.")
    return state is not State.SUCCEEDED
