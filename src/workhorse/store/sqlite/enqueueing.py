"""enqueue: → available, scheduled or blocked."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from itertools import groupby
from typing import Any

from workhorse.domain.errors import NotFound
from workhorse.domain.job import Enqueued, NewJob, State
from workhorse.store.fast_json import compact
from workhorse.store.rows import backoff_text, key_answer, likeness, slices
from workhorse.store.sqlite.transaction import SqliteTransaction
from workhorse.store.verbs.edges import cancel_jobs, in_vain, unsucceeded


def enqueue(tx: SqliteTransaction, jobs: Sequence[NewJob]) -> list[Enqueued]:
    """Store `jobs` inside the open transaction; answer in their order."""
    answers: list[Enqueued] = []
    mine: set[int] = set()
    for alike in runs(jobs):
        if len(alike) == 1:
            answer = _enqueue_one(tx, alike[0], mine)
            answers.append(answer)
            mine.update(() if answer.existing else [answer.id])
        else:
            answers.extend(_enqueue_run(tx, alike))
    return answers


def runs(jobs: Sequence[NewJob]) -> Iterator[Sequence[NewJob]]:
    """Yield neighbours that differ in nothing but their arguments; the particular ones alone."""
    if len(jobs) == 1:
        yield jobs
        return
    for _, alike in groupby(jobs, key=_likeness):
        yield from slices(list(alike))


def _likeness(job: NewJob) -> object:
    if job.unique is not None or job.after or job.idempotency_key is not None:
        return object()
    return likeness(job)


def _enqueue_run(tx: SqliteTransaction, jobs: Sequence[NewJob]) -> Iterator[Enqueued]:
    state, row = _row(jobs[0], tx.now)
    row["args"] = compact([job.args for job in jobs])
    last = tx.run("jobs.enqueue", **row).lastrowid
    assert last is not None
    first = last - len(jobs) + 1
    tx.run("events.enqueued", state=state.value, first=first, last=last)
    return (Enqueued(number, state, existing=False) for number in range(first, last + 1))


def _enqueue_one(tx: SqliteTransaction, job: NewJob, mine: Container[int]) -> Enqueued:
    if job.idempotency_key is None:
        return _store(tx, job, mine)
    made = tx.run("keys.made", key=job.idempotency_key).fetchone()
    if made is not None:
        return key_answer(job, f"idempotency key {job.idempotency_key!r}", made, mine=mine)
    answer = _store(tx, job, mine)
    tx.run("keys.keep", key=job.idempotency_key, job_id=answer.id)
    return answer


def _store(tx: SqliteTransaction, job: NewJob, mine: Container[int]) -> Enqueued:
    awaited = {job_id: _state(tx, job_id) for job_id in dict.fromkeys(job.after)}
    waits_for = unsucceeded(awaited)
    state, row = _row(job, tx.now, blocked=bool(waits_for))
    stored = tx.run("jobs.enqueue_one", **row, unique=job.unique)
    if not stored.rowcount:
        holder = tx.run("jobs.holder", unique=job.unique).fetchone()
        return key_answer(job, f"unique key {job.unique!r}", holder, mine=mine)
    added = stored.lastrowid
    assert added is not None
    tx.run("events.enqueued_one", state=state.value, id=added)
    if (reason := in_vain(awaited)) is not None:
        cancel_jobs(tx, {added: reason})
        return Enqueued(added, State.CANCELLED, existing=False)
    if waits_for:
        tx.run("dependencies.add", id=added, after=compact(waits_for))
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
        "run_at": run_at,
    }


def _state(tx: SqliteTransaction, job_id: int) -> State:
    """Return where a job stands that another is to wait for."""
    state = tx.value("jobs.lock", id=job_id) or tx.value("jobs.lock_ended", id=job_id)
    if state is None:
        raise NotFound(f"There is no job {job_id} to wait for.")
    return State(state)
