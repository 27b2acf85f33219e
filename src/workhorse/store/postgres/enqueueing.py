"""enqueue: → available, scheduled or blocked; at once cancelled, after what will never succeed."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Final, TypeAlias

from workhorse.domain.errors import NotFound, Unavailable
from workhorse.domain.job import Enqueued, NewJob, State
from workhorse.store.fast_json import compact
from workhorse.store.postgres.asking import Ask, Asking
from workhorse.store.postgres.keys import TRIES, Numbered, once_per_key
from workhorse.store.protocol import TURN_BYTES
from workhorse.store.rows import backoff_text, key_answer, likeness
from workhorse.store.verbs.edges import in_vain, unsucceeded

STATEMENT_SIZE: Final = TURN_BYTES
"""Most characters of arguments in one statement, for the same reason."""
Ring: TypeAlias = Callable[[str], Mapping[str, Any]]
"""Returns the parameters of how an enqueue rings, for a queue."""


def is_simple(job: NewJob) -> bool:
    """Whether a job is stored by one statement, whatever else there is."""
    return job.idempotency_key is None and _is_plain(job)


def are_alike(jobs: Sequence[NewJob]) -> bool:
    """Whether one statement stores them: they are simple, and differ only in their arguments."""
    first = _likeness(jobs[0])
    return (
        all(is_simple(job) and _likeness(job) == first for job in jobs)
        and sum(len(job.args) for job in jobs) <= STATEMENT_SIZE
    )


def one(job: NewJob) -> dict[str, Any]:
    """Return the parameters of ``enqueue.one``, but for how it rings."""
    return {**_options(job), "id": None, "args": job.args, "unique": job.unique, "blocked": False}


def enqueue(jobs: Sequence[NewJob], ring: Ring) -> Asking[list[Enqueued]]:
    """Store `jobs` inside an open transaction; answer in their order."""
    if any(job.idempotency_key is not None for job in jobs):
        return once_per_key(jobs, lambda new: _store(new, ring))
    return _store([Numbered(job) for job in jobs], ring)


def enqueue_alike(
    jobs: Sequence[NewJob], ring: Ring, ids: Sequence[int | None] = ()
) -> Asking[list[Enqueued]]:
    """Store jobs that differ in nothing but their arguments, in one statement."""
    args = [job.args for job in jobs]
    row = {**_options(jobs[0]), "args": args, "ids": list(ids), **ring(jobs[0].queue)}
    ((added, state, _),) = yield Ask("enqueue.many", row)
    stored = State(state)
    return [Enqueued(id, stored, existing=False) for id in added]


def _store(jobs: Sequence[Numbered], ring: Ring) -> Asking[list[Enqueued]]:
    """Store jobs in as few statements as they allow."""
    answers: list[Enqueued] = []
    mine: set[int] = set()
    for _, alike in groupby(jobs, key=lambda numbered: _likeness(numbered.job)):
        some = list(alike)
        if _is_plain(some[0].job):
            for portion in _portions(some):
                ids = [numbered.id for numbered in portion]
                new = [numbered.job for numbered in portion]
                answers += yield from enqueue_alike(new, ring, ids)
        else:
            for numbered in some:
                answer = yield from _enqueue_one(numbered, ring, mine)
                answers.append(answer)
                mine.update(() if answer.existing else [answer.id])
    return answers


def _portions(jobs: Sequence[Numbered]) -> Iterator[Sequence[Numbered]]:
    """Yield neighbours, as many as may travel in one statement."""
    start = size = 0
    for place, numbered in enumerate(jobs):
        size += len(numbered.job.args)
        if size > STATEMENT_SIZE and place > start:
            yield jobs[start:place]
            start, size = place, len(numbered.job.args)
    yield jobs[start:]


def _is_plain(job: NewJob) -> bool:
    """Whether nothing else in the store decides whether, and how, a job is stored."""
    return job.unique is None and not job.after


def _likeness(job: NewJob) -> object:
    """Return what neighbours must have in common to be stored together; some go alone."""
    return likeness(job) if _is_plain(job) else object()


def _enqueue_one(numbered: Numbered, ring: Ring, mine: Container[int]) -> Asking[Enqueued]:
    """Store a job, unless its unique key is held.

    An idempotency key is then answered with the holder, which stays until this transaction ends.
    """
    job, id = numbered
    awaited: dict[int, State] = {}
    for number in dict.fromkeys(job.after):
        awaited[number] = yield from _state(number)
    waits_for = unsucceeded(awaited)
    row = {**one(job), "id": id, "blocked": bool(waits_for), **ring(job.queue)}
    for _ in range(TRIES):
        stored = yield Ask("enqueue.one", row)
        if stored:
            ((added, state, _),) = stored
            if (reason := in_vain(awaited)) is not None:
                yield from _cancel(added, reason)
                return Enqueued(added, State.CANCELLED, existing=False)
            if waits_for:
                yield Ask("dependencies.add", {"id": added, "after": compact(waits_for)})
            return Enqueued(added, State(state), existing=False)
        held = yield Ask("enqueue.holder", {"unique": job.unique})
        keyed = job.idempotency_key is not None
        if not held or (keyed and not (yield Ask("enqueue.lock_awaited", {"id": held[0][0]}))):
            continue
        answer = key_answer(job, f"unique key {job.unique!r}", held[0], mine=mine)
        if keyed:
            yield Ask("keys.give", {"key": job.idempotency_key, "job_id": answer.id})
        return answer
    raise Unavailable(f"The holders of unique key {job.unique!r} come and go too fast.")


def _state(job_id: int) -> Asking[State]:
    """Return where a job stands that another is to wait for."""
    for statement in ("enqueue.lock_awaited", "enqueue.ended", "enqueue.lock_awaited"):
        found = yield Ask(statement, {"id": job_id})
        if found:
            return State(found[0][0])
    raise NotFound(f"There is no job {job_id} to wait for.")


def _cancel(job_id: int, reason: str) -> Asking[None]:
    """cancel: blocked → cancelled, for a job that nobody else has seen."""
    rows = compact([(job_id, reason)])
    yield Ask("jobs.cancel", {"rows": rows})
    yield Ask("jobs.cancel_event", {"rows": rows})
    yield Ask("jobs.drop_cancelled", {"ids": compact([job_id])})


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
