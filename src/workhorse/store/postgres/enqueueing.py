"""enqueue: → available, scheduled or blocked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, Final

from workhorse.domain.errors import Conflict, NotFound, Unavailable
from workhorse.domain.job import Enqueued, NewJob, State
from workhorse.store.fast_json import compact
from workhorse.store.rows import backoff_text

Run = Callable[..., Any]
"""Runs a statement by name, and returns its cursor."""

TRIES: Final = 100
"""How often a key is looked at whose job comes and goes meanwhile."""


def is_simple(job: NewJob) -> bool:
    """Whether a job is stored by one statement, whatever else there is."""
    return job.unique is None and not job.after and job.idempotency_key is None


def one(job: NewJob) -> dict[str, Any]:
    """Return the parameters of ``enqueue.one``, but for how it rings."""
    return {**_options(job), "id": None, "args": job.args, "unique": job.unique, "blocked": False}


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
    if job.idempotency_key is None:
        return _store(run, job, ring)
    taken = _take_key(run, job.idempotency_key)
    if isinstance(taken, Enqueued):
        return taken
    answer = _store(run, job, ring, id=taken)
    if answer.existing:
        run("keys.give", key=job.idempotency_key, job_id=answer.id)
    return answer


def _take_key(run: Run, key: str) -> int | Enqueued:
    """Return the id of the job that a key is to make, or else the job that it has made."""
    for _ in range(TRIES):
        taken = run("keys.take", key=key).fetchone()
        if taken is not None:
            return int(taken[0])
        made = run("keys.made", key=key).fetchone()
        if made is not None:
            return Enqueued(made[0], State(made[1]), existing=True)
    raise Unavailable(f"The jobs of idempotency key {key!r} come and go too fast.")


def _store(run: Run, job: NewJob, ring: dict[str, Any], *, id: int | None = None) -> Enqueued:
    """Store a job, under `id` when it has one already, unless its unique key is held.

    A job has one when an idempotency key makes it. That key is to be answered with the holder of
    the unique key instead, which therefore does not end before this transaction does.
    """
    waits_for = [number for number in dict.fromkeys(job.after) if _must_wait(run, number)]
    row = one(job) | {"id": id, "blocked": bool(waits_for)}
    for _ in range(TRIES):
        stored = run("enqueue.one", **row, **ring).fetchone()
        if stored is not None:
            added, state, _ = stored
            if waits_for:
                run("dependencies.add", id=added, after=compact(waits_for))
            return Enqueued(added, State(state), existing=False)
        holder = run("enqueue.holder", unique=job.unique).fetchone()
        if holder is not None and (id is None or _still_there(run, holder[0])):
            return Enqueued(holder[0], State(holder[1]), existing=True)
    raise Unavailable(f"The holders of unique key {job.unique!r} come and go too fast.")


def _still_there(run: Run, job_id: int) -> bool:
    """Tell whether a job is unfinished; it stays so until this transaction ends."""
    return run("enqueue.lock_awaited", id=job_id).fetchone() is not None


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
