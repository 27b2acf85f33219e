"""From rows to the domain's words, and back."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final, TypeVar

from workhorse.domain.errors import Conflict, InvalidJob
from workhorse.domain.events import Event
from workhorse.domain.job import (
    Attempt,
    Claimed,
    Enqueued,
    Job,
    NewJob,
    Outcome,
    State,
    WorkerInfo,
)
from workhorse.domain.retry import DEFAULT_BACKOFF, Backoff, backoff_from_row, backoff_to_row
from workhorse.domain.transitions import Change, Verb
from workhorse.store.fast_json import compact, from_json

T = TypeVar("T")

SLICE: Final = 400
"""Most jobs that travel as one text: SQLite's texts end at 10^9 bytes, and a job may take 2 MiB."""
LAST_ID: Final = 2**63 - 1
"""The largest id there could be; no job will ever have it."""


_IN_OUR_WORDS: Final = frozenset(
    {Outcome.TIMED_OUT, Outcome.CRASHED, Outcome.LOST, Outcome.RELEASED, Outcome.CANCELLED}
)
"""Outcomes whose reason is not a handler's: its words may hold payload."""


likeness: Final = attrgetter(
    "kind", "queue", "priority", "max_attempts", "delay", "run_at", "timeout", "backoff"
)
"""Returns what new jobs must have in common to differ in nothing but their arguments."""


def row_id(number: int) -> int:
    """Return an id as a database can look for it: one beyond its range is as little there."""
    return max(-1, min(number, LAST_ID))


def row_limit(limit: int) -> int:
    """Return how many rows are wanted at most, as a database takes it."""
    if limit < 0:
        raise InvalidJob(f"limit={limit} is no number of rows.", hint="Give 0 or more.")
    return min(limit, LAST_ID)


def key_answer(asked: NewJob, key: str, row: Sequence[Any], *, mine: Container[int]) -> Enqueued:
    """Answer with the job that has `key`: a row of its id, state and kind.

    Raises `Conflict` when it is of another kind: its result would not be what was asked for. Of
    those that are `mine`, stored by the same call, none is named: with that they are gone.
    """
    id, state, kind = row
    if kind != asked.kind:
        whose = "another job of this call" if id in mine else f"job {id}"
        raise Conflict(
            f"The {key} belongs to {whose}, which is of kind {kind!r}, not {asked.kind!r}.",
            hint="Give each kind keys of its own.",
        )
    return Enqueued(id, State(state), existing=True)


def slices(items: Sequence[T], size: int = SLICE) -> Iterator[Sequence[T]]:
    """Yield neighbours, `size` together: at most as many as may travel as one text."""
    return (items[start : start + size] for start in range(0, len(items), size))


def compact_or_none(value: Sequence[Any] | Mapping[str, Any] | None) -> str | None:
    """Return JSON text, or None for what is empty."""
    return compact(value) if value else None


def error_text(change: Change) -> str | None:
    """Return what is stored of the error of a change."""
    return compact_or_none(change.error)


def told_text(change: Change) -> str:
    """Return what the event says of a change: metadata, and never the words of a handler."""
    told: dict[str, Any] = {"outcome": change.outcome}
    if change.verb is Verb.RESCUE:
        told["state"] = change.state
    if change.error is not None:
        if change.outcome in _IN_OUR_WORDS:
            told["reason"] = change.error["message"]
        else:
            told["error"] = change.error["type"]
    return compact(told)


def backoff_text(backoff: Backoff) -> str:
    """Return what is stored of a backoff: nothing of the default one."""
    return "" if backoff is DEFAULT_BACKOFF else compact_or_none(backoff_to_row(backoff)) or ""


def claimed(text: str) -> list[Claimed]:
    """Return the claimed jobs of one aggregated row, in the order of its ids."""
    return [
        Claimed(
            id, attempt, kind, args, queue, priority, timeout, max_attempts,
            DEFAULT_BACKOFF if backoff is None else Backoff(*backoff),
            failures, crashes, lost, solo == 1, cancel_requested == 1, enqueued_at, started_at,
        )
        for (
            id, attempt, kind, args, queue, priority, timeout, max_attempts, backoff,
            failures, crashes, lost, solo, cancel_requested, enqueued_at, started_at,
        ) in from_json(text)
    ]  # fmt: skip


def held(rows: Iterable[Sequence[str]]) -> list[Claimed]:
    """Return the claimed jobs of rows of ``claim.held``, one job in each."""
    return claimed(f"[{','.join(text for (text,) in rows)}]")


def job(row: Sequence[Any]) -> Job:
    """Return a job from a row of ``jobs.get`` or ``jobs.list``."""
    (
        id, kind, queue, state, priority, args, attempt, failures, crashes, lost,
        max_attempts, timeout, backoff, enqueued_at, run_at, started_at, finished_at, worker,
        unique, solo, cancel_requested, progress, message, outcome, result, error, waits_for,
        keys,
    ) = row  # fmt: skip
    return Job(
        id=id,
        kind=kind,
        queue=queue,
        state=State(state),
        priority=priority,
        args=args,
        attempt=attempt,
        failures=failures,
        crashes=crashes,
        lost=lost,
        max_attempts=max_attempts,
        timeout=timeout,
        backoff=backoff_from_row(None if backoff is None else from_json(backoff)),
        enqueued_at=enqueued_at,
        run_at=run_at,
        started_at=started_at,
        finished_at=finished_at,
        worker=worker,
        unique=unique,
        solo=bool(solo),
        cancel_requested=bool(cancel_requested),
        progress=progress,
        message=message,
        outcome=None if outcome is None else Outcome(outcome),
        result=result,
        error=None if error is None else from_json(error),
        waits_for=from_json(waits_for),
        idempotency_keys=sorted(from_json(keys)),
    )


def attempts(rows: Iterable[Sequence[Any]]) -> list[Attempt]:
    """Return attempts from rows of ``jobs.attempts``."""
    return [
        Attempt(
            job_id, number, worker, started_at, finished_at, Outcome(outcome),
            None if error is None else from_json(error),
        )
        for job_id, number, worker, started_at, finished_at, outcome, error in rows
    ]  # fmt: skip


def events(rows: Iterable[Sequence[Any]]) -> list[Event]:
    """Return events from rows of ``events.all``: a bare `complete` had the outcome ``ok``."""
    return [
        Event(seq, at, name, job_id, attempt, worker, _data(name, data))
        for seq, at, name, job_id, attempt, worker, data in rows
    ]


def _data(name: str, data: str | None) -> Mapping[str, Any]:
    if data is None:
        return {"outcome": "ok"} if name == "complete" else {}
    return from_json(data)  # type: ignore[no-any-return]  # an object: we wrote it


def worker(row: Sequence[Any]) -> WorkerInfo:
    """Return a worker from a row of ``workers.list``: a probe asks for it, so by plain `json`."""
    (
        id, host, pid, started_at, lease_until, state, queues, kinds, processes,
        concurrency, running, restarts,
    ) = row  # fmt: skip
    return WorkerInfo(
        id, host, pid, started_at, lease_until, state, json.loads(queues), json.loads(kinds),
        processes, concurrency, running, restarts,
    )  # fmt: skip
