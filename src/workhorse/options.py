"""From a kind and the options of one enqueue to the `NewJob` that is stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

from workhorse.domain.errors import InvalidJob
from workhorse.domain.job import NewJob, check_name, check_type, priority_number
from workhorse.domain.retry import MAX_DELAY, Retry, check_budget
from workhorse.spec import KindSpec
from workhorse.text import clean_text

DEFAULT_TIMEOUT: Final = 3600.0
"""How long an attempt may run when nothing else is said, in seconds."""
MAX_AFTER: Final = 1000
"""Most jobs one job can wait for."""
MAX_INSTANT: Final = 253_402_300_800_000
"""The year 10000, in milliseconds since 1970 UTC: dates end before."""
MAX_KEY: Final = 255
"""Longest unique or idempotency key, in characters."""


class Unset(Enum):
    """The value of an option that was not given, where None means something."""

    UNSET = "unset"


UNSET: Final = Unset.UNSET


@runtime_checkable
class HasId(Protocol):
    """A job by its handle."""

    @property
    def id(self) -> int:
        """The job's id."""


class Terms(NamedTuple):
    """What holds for a job that asks for nothing else."""

    retry: Retry = Retry()
    timeout: float | None = DEFAULT_TIMEOUT
    priority: int = 0


class Defaults(NamedTuple):
    """What a kind, or a queue, says of its jobs; None and UNSET where it says nothing."""

    retry: Retry | None = None
    timeout: float | Unset | None = UNSET
    priority: int | None = None

    def over(self, terms: Terms) -> Terms:
        """Return `terms`, but for what this says."""
        return Terms(
            self.retry or terms.retry,
            terms.timeout if isinstance(self.timeout, Unset) else self.timeout,
            terms.priority if self.priority is None else self.priority,
        )


def as_defaults(
    retry: Retry | int | None, timeout: float | Unset | None, priority: str | int | None
) -> Defaults:
    """Return what a kind or a queue was given; a number for `retry` is its budget of failures.

    Raises `InvalidJob` for an option that makes no sense.
    """
    return Defaults(
        _retry(retry),
        timeout if isinstance(timeout, Unset) else _timeout(timeout),
        None if priority is None else priority_number(priority),
    )


def terms_of(declared: Defaults, queue: Defaults | None) -> Terms:
    """Return what holds: what the kind says itself, else its queue, else the defaults."""
    return declared.over(Terms() if queue is None else queue.over(Terms()))


@dataclass(frozen=True, slots=True)
class Options:
    """What the caller wants different for one enqueue."""

    delay: float | timedelta | None = None
    run_at: datetime | int | None = None
    priority: str | int | None = None
    queue: str | None = None
    unique: str | None = None
    idempotency_key: str | None = None
    after: Iterable[HasId | int] | HasId | int | None = None
    timeout: float | Unset | None = UNSET
    max_attempts: int | None = None
    session: Any = None

    def merged(self, given: Mapping[str, Any]) -> Options:
        """Return these options with what `given` says. `InvalidJob` for a name that is none."""
        if unknown := given.keys() - _NAMES:
            raise InvalidJob(
                f"{', '.join(sorted(unknown))} is no option of a job.",
                hint=f"There are {', '.join(sorted(_NAMES))}.",
            )
        said = {
            name: value
            for name, value in given.items()
            if value is not UNSET and (value is not None or name == "timeout")
        }
        if isinstance(after := said.get("after"), Iterable):
            said["after"] = list(after)  # it is looked at more than once
        return replace(self, **said)


_NAMES: Final = frozenset(field.name for field in fields(Options))
NO_OPTIONS: Final = Options()


def new_job(
    spec: KindSpec, args: str, options: Options, declared: Defaults, queues: Mapping[str, Defaults]
) -> NewJob:
    """Return the job to store. Raises `InvalidJob` for options that make no sense.

    `declared` is what the kind itself says; where it is silent, its queue's defaults hold.
    """
    if options.delay is not None and options.run_at is not None:
        raise InvalidJob("Give delay or run_at, not both.")
    queue = spec.queue if options.queue is None else check_name("queue", options.queue)
    retry, timeout, priority = terms_of(declared, queues.get(queue))
    if not isinstance(options.timeout, Unset):
        timeout = _timeout(options.timeout)
    if options.priority is not None:
        priority = priority_number(options.priority)
    budget = options.max_attempts
    return NewJob(
        kind=spec.name,
        args=args,
        queue=queue,
        priority=priority,
        delay=_seconds(options.delay),
        run_at=_instant(options.run_at),
        timeout=timeout,
        max_attempts=retry.max_attempts if budget is None else check_budget(budget),
        backoff=retry.backoff,
        unique=_key("unique", options.unique),
        after=_after(options.after),
        idempotency_key=_key("idempotency_key", options.idempotency_key),
    )


def _retry(retry: Retry | int | None) -> Retry | None:
    if isinstance(retry, int):
        return Retry(max_attempts=retry)
    check_type("retry", retry, Retry | None, "a Retry or a number")
    return retry


def _timeout(timeout: float | None) -> float | None:
    """Return a timeout in seconds that can be kept, None for no limit."""
    if timeout is None:
        return None
    check_type("timeout", timeout, int | float, "a number of seconds")
    if not 0 < timeout <= MAX_DELAY:
        raise InvalidJob(
            f"timeout must be over 0 and at most {MAX_DELAY:.0f} seconds.",
            hint="No limit is None; on the command line, none.",
        )
    return float(timeout)


def _seconds(delay: float | timedelta | None) -> float:
    if delay is None:
        return 0.0
    seconds = delay.total_seconds() if isinstance(delay, timedelta) else delay
    check_type("delay", seconds, int | float, "a number of seconds")
    if not 0 <= seconds <= MAX_DELAY:
        raise InvalidJob(f"delay must be 0 to {MAX_DELAY:.0f} seconds.")
    return float(seconds)


def _instant(run_at: datetime | int | None) -> int | None:
    """Return an instant in milliseconds since 1970 UTC."""
    if run_at is None:
        return None
    if isinstance(run_at, datetime):
        if run_at.utcoffset() is None:
            raise InvalidJob(
                f"run_at={run_at.isoformat()} has no time zone.",
                hint="Give one, as in datetime(…, tzinfo=UTC).",
            )
        run_at = round(run_at.timestamp() * 1000)
    if isinstance(run_at, bool) or not isinstance(run_at, int):
        raise InvalidJob("run_at must be a datetime, or milliseconds since 1970 as an integer.")
    if not 0 <= run_at < MAX_INSTANT:
        raise InvalidJob("run_at must be from 1970 to 9999; as an integer, in milliseconds.")
    return run_at


def _key(option: str, key: Any) -> str | None:
    if key is None:
        return None
    if not isinstance(key, str) or not 1 <= len(key) <= MAX_KEY or clean_text(key) != key:
        raise InvalidJob(f"{option} must be a text of 1 to {MAX_KEY} characters, without NUL.")
    return key


def _after(after: Iterable[HasId | int] | HasId | int | None) -> tuple[int, ...]:
    if after is None:
        return ()
    if isinstance(after, int | HasId) or not isinstance(after, Iterable):
        after = [after]
    ids: list[Any] = [
        item if isinstance(item, int) else getattr(item, "id", None) for item in after
    ]
    if not all(isinstance(i, int) and not isinstance(i, bool) and 0 < i < 2**63 for i in ids):
        raise InvalidJob("after takes handles or ids of jobs.")
    if len(ids) > MAX_AFTER:
        raise InvalidJob(f"after takes up to {MAX_AFTER:,} jobs, not {len(ids):,}.")
    return tuple(ids)
