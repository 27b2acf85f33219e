"""Idempotency keys: each makes one job for as long as that is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from workhorse.domain.errors import Unavailable
from workhorse.domain.job import Enqueued, NewJob
from workhorse.store.postgres.asking import Ask, Asking
from workhorse.store.rows import key_answer

TRIES: Final = 100
"""How often a key is looked at whose job comes and goes meanwhile."""


class Numbered(NamedTuple):
    """A job to be stored; its id, when that is fixed already."""

    job: NewJob
    id: int | None = None


def once_per_key(
    jobs: Sequence[NewJob], store: Callable[[Sequence[Numbered]], Asking[list[Enqueued]]]
) -> Asking[list[Enqueued]]:
    """Have those stored that have a new key, or none; answer the others with what theirs has made.

    The transaction waits for others that take the same keys, and has them then until it ends. A
    job may go, and its key with it, between the look at the one and at the other.
    """
    answers: dict[int, Enqueued] = {}
    left = list(enumerate(jobs))
    for _ in range(TRIES):
        taken = yield Ask("keys.take", {"keys": [job.idempotency_key for _, job in left]})
        new = {
            place: Numbered(job, id)
            for (place, job), (id, is_new) in zip(left, taken, strict=True)
            if is_new
        }
        answers |= zip(new, (yield from store(list(new.values()))), strict=True)
        left = [(place, job) for place, job in left if place not in new]
        made = yield from _made([job.idempotency_key for _, job in left])
        mine = {answer.id for answer in answers.values() if not answer.existing}
        answers |= {
            place: key_answer(job, f"idempotency key {key!r}", made[key], mine=mine)
            for place, job in left
            if (key := job.idempotency_key) in made
        }
        left = [(place, job) for place, job in left if place not in answers]
        if not left:
            return [answers[place] for place in range(len(jobs))]
    raise Unavailable("The jobs of an idempotency key come and go too fast.")


def _made(keys: Sequence[str | None]) -> Asking[dict[str | None, Sequence[Any]]]:
    """Return the id, state and kind of the jobs that keys have made."""
    if not keys:
        return {}
    found = yield Ask("keys.made", {"keys": keys})
    return {key: job for key, *job in found}
