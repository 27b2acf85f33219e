"""enqueue: → available, scheduled or blocked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from workhorse.domain.errors import Conflict, NotFound, Unavailable
from workhorse.domain.job import Enqueued, NewJob, State
from workhorse.store.rows import backoff_text, compact

Run = Callable[..., Any]
"""Runs a statement by name, and returns its cursor."""


def is_simple(job: NewJob) -> bool:
    """Whether a job is stored by one statement, whatever else there is."""
    return job.unique is None and not job.after


def one(job: NewJob) -> dict[str, Any]:
    """Return the parameters of ``enqueue.one``, but for how it rings."""
    return {**_options(job), "args": job.args, "unique": job.unique, "blocked": False}


def enqueue(run: Run, jobs: Sequence[NewJob], ring: dict[str, Any]) -> list[Enqueued]:
    """Store `jobs` inside an open transaction; answer in their order."""
    answers: list[Enqueued] = []
    for alike in runs(jobs):
        if is_simple(alike[0]):
            answers += _enqueue_run(run, alike, ring)
        else:
            answers.append(_enqueue_one(run, alike[0], ring))
    return answers


def runs(jobs: Iterable[NewJob]) -> Iterator[list[NewJob]]:
    """Yield neighbours that differ in nothing but their arguments; the particular ones alone."""
    for _, alike in groupby(jobs, key=_likeness):
        yield list(alike)


def _likeness(job: NewJob) -> object:
    if not is_simple(job):
        return object()
    return (
        job.kind, job.queue, job.priority, job.max_attempts, job.delay, job.run_at, job.timeout,
        job.backoff,
    )  # fmt: skip


def _enqueue_run(run: Run, jobs: Sequence[NewJob], ring: dict[str, Any]) -> Iterator[Enqueued]:
    args = [job.args for job in jobs]
    found = run("enqueue.many", **_options(jobs[0]), args=args, **ring).fetchall()
    return (Enqueued(id, State(state), existing=False) for id, state, _ in found)


def _enqueue_one(run: Run, job: NewJob, ring: dict[str, Any]) -> Enqueued:
    waits_for = [number for number in dict.fromkeys(job.after) if _must_wait(run, number)]
    for _ in range(100):
        stored = run("enqueue.one", **one(job) | {"blocked": bool(waits_for)}, **ring).fetchone()
        if stored is not None:
            id, state, _ = stored
            if waits_for:
                run("dependencies.add", id=id, after=compact(waits_for))
            return Enqueued(id, State(state), existing=False)
        holder = run("enqueue.holder", unique=job.unique).fetchone()
        if holder is not None:
            return Enqueued(holder[0], State(holder[1]), existing=True)
    raise Unavailable(f"The holders of unique key {job.unique!r} come and go too fast.")


def _must_wait(run: Run, job_id: int) -> bool:
    """Tell whether a job has still to succeed; refuse one that never will."""
    for statement in ("enqueue.lock_awaited", "enqueue.ended", "enqueue.lock_awaited"):
        found = run(statement, id=job_id).fetchone()
        if found is not None:
            state = State(found[0])
            if state in {State.FAILED, State.CANCELLED}:
                raise Conflict(f"Job {job_id} has {state}: a job after it could never start.")
            return state is not State.SUCCEEDED
    raise NotFound(f"There is no job {job_id} to wait for.")


def _options(job: NewJob) -> dict[str, Any]:
    return {
        "kind": job.kind,
        "queue": job.queue,
        "priority": job.priority,
        "max_attempts": job.max_attempts,
        "timeout": job.timeout,
        "backoff": backoff_text(job.backoff) or None,
        "delay": round(job.delay * 1000),
        "run_at": job.run_at,
    }
