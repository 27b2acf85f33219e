"""From a kind and the options of one enqueue to the `NewJob` that is stored."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

from workhorse.codec import clean_text
from workhorse.domain.errors import InvalidJob
from workhorse.domain.job import NewJob, check_name, priority_number
from workhorse.domain.retry import Retry
from workhorse.kind import DEFAULT_TIMEOUT, KindSpec

MAX_DELAY: Final = 100 * 365 * 86400.0
"""Furthest a job can be put off, in seconds: a hundred years."""
MAX_AFTER: Final = 1000
"""Most jobs one job can wait for."""
MAX_UNIQUE: Final = 255
"""Longest unique key, in characters."""


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


class Defaults(NamedTuple):
    """What a kind, or a queue, says of its jobs; None and UNSET where it says nothing."""

    retry: Retry | None = None
    timeout: float | Unset | None = UNSET
    priority: int | None = None

    def over(self, other: Defaults) -> Defaults:
        """Return this, with the gaps filled from `other`."""
        return Defaults(
            self.retry or other.retry,
            other.timeout if self.timeout is UNSET else self.timeout,
            other.priority if self.priority is None else self.priority,
        )


LAST_RESORT: Final = Defaults(Retry(), DEFAULT_TIMEOUT, 0)
"""What holds when neither the kind nor its queue says anything."""


def as_retry(retry: Retry | int | None) -> Retry | None:
    """Return a retry policy; a number is its budget of failures."""
    return Retry(max_attempts=retry) if isinstance(retry, int) else retry


def check_timeout(timeout: float | Unset | None) -> float | Unset | None:
    """Return a timeout in seconds that can be kept, None for no limit; or raise `InvalidJob`."""
    if timeout is None or isinstance(timeout, Unset):
        return timeout
    if isinstance(timeout, bool) or not (math.isfinite(timeout) and 0 < timeout <= MAX_DELAY):
        raise InvalidJob("timeout must be a number of seconds over 0, or None for no limit.")
    return float(timeout)


@dataclass(frozen=True, slots=True)
class Options:
    """What the caller wants different for one enqueue."""

    delay: float | timedelta | None = None
    run_at: datetime | int | None = None
    priority: str | int | None = None
    queue: str | None = None
    unique: str | None = None
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
        return replace(self, **said)


_NAMES: Final = frozenset(field.name for field in fields(Options))
NO_OPTIONS: Final = Options()


def new_job(
    spec: KindSpec, args: str, options: Options, declared: Defaults, queues: Mapping[str, Defaults]
) -> NewJob:
    """Return the job to store. Raises `InvalidJob` for options that make no sense.

    `declared` is what the kind itself says; where it is silent, the queue's defaults hold.
    """
    queue = spec.queue if options.queue is None else check_name("queue", options.queue)
    defaults = declared.over(queues.get(queue, LAST_RESORT)).over(LAST_RESORT)
    retry = defaults.retry or spec.retry
    timeout = defaults.timeout if options.timeout is UNSET else check_timeout(options.timeout)
    priority = defaults.priority or 0
    if options.priority is not None:
        priority = priority_number(options.priority)
    if options.delay is not None and options.run_at is not None:
        raise InvalidJob("Give delay or run_at, not both.")
    return NewJob(
        kind=spec.name,
        args=args,
        queue=queue,
        priority=priority,
        delay=_seconds(options.delay),
        run_at=_instant(options.run_at),
        timeout=None if isinstance(timeout, Unset) else timeout,
        max_attempts=_budget(options.max_attempts, retry),
        backoff=retry.backoff,
        unique=_unique(options.unique),
        after=_after(options.after),
    )


def _seconds(delay: float | timedelta | None) -> float:
    if delay is None:
        return 0.0
    seconds: Any = delay.total_seconds() if isinstance(delay, timedelta) else delay
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise InvalidJob(f"delay must be a number of seconds, not a {type(delay).__name__}.")
    if not 0 <= seconds <= MAX_DELAY:
        raise InvalidJob(f"delay must be 0 to {MAX_DELAY:.0f} seconds, not {seconds:g}.")
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
    if not 0 <= run_at < 2**53:
        raise InvalidJob(f"run_at={run_at} is out of range.")
    return run_at


def _budget(max_attempts: int | None, retry: Retry) -> int:
    if max_attempts is None:
        return retry.max_attempts
    if isinstance(max_attempts, bool) or not isinstance(max_attempts, int):
        raise InvalidJob("max_attempts must be an integer.")
    if not 1 <= max_attempts < 2**31:
        raise InvalidJob(f"max_attempts must be 1 or more, not {max_attempts}.")
    return max_attempts


def _unique(key: Any) -> str | None:
    if key is None:
        return None
    if not isinstance(key, str) or not 1 <= len(key) <= MAX_UNIQUE or clean_text(key) != key:
        raise InvalidJob(f"unique must be a text of 1 to {MAX_UNIQUE} characters, without NUL.")
    return key


def _after(after: Iterable[HasId | int] | HasId | int | None) -> tuple[int, ...]:
    if after is None:
        return ()
    one = isinstance(after, int | HasId)
    items: Iterable[Any] = [after] if one else after  # type: ignore[assignment]
    ids: list[Any] = [
        item if isinstance(item, int) else getattr(item, "id", None) for item in items
    ]
    if not all(isinstance(i, int) and not isinstance(i, bool) and 0 < i < 2**63 for i in ids):
        raise InvalidJob("after takes handles or ids of jobs.")
    if len(ids) > MAX_AFTER:
        raise InvalidJob(f"after takes up to {MAX_AFTER:,} jobs, not {len(ids):,}.")
    return tuple(dict.fromkeys(ids))
