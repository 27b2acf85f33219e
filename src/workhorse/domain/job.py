"""A job: what is asked, where it stands, and what one worker holds of it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from types import UnionType
from typing import Any, Final, Literal, NamedTuple

from workhorse.domain.errors import InvalidJob
from workhorse.domain.retry import DEFAULT_BACKOFF, Backoff

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
"""What a kind or queue may be called: also safe in a file name, a URL and a log."""


class State(StrEnum):
    """Where a job stands. The last three are final."""

    SCHEDULED = "scheduled"
    BLOCKED = "blocked"
    AVAILABLE = "available"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


UNFINISHED: Final = (State.SCHEDULED, State.BLOCKED, State.AVAILABLE, State.RUNNING)
FINAL: Final = (State.SUCCEEDED, State.FAILED, State.CANCELLED)


class Outcome(StrEnum):
    """How an attempt ended."""

    OK = "ok"
    ERROR = "error"
    REJECTED = "rejected"
    TIMED_OUT = "timed_out"
    OUT_OF_MEMORY = "out_of_memory"
    CRASHED = "crashed"
    LOST = "lost"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    RELEASED = "released"
    SNOOZED = "snoozed"


class Priority(IntEnum):
    """The named priorities; any other integer of 32 bits is as good. Higher starts first."""

    LOW = -10
    NORMAL = 0
    HIGH = 10
    CRITICAL = 20


PriorityName = Literal["low", "normal", "high", "critical"]
"""How they are written out. To a type checker a slip is an error then; so is any text, which
`Priority` knows by its name in capitals."""


def priority_number(priority: str | int) -> int:
    """Return the number of a priority given by name or number.

    Raises `InvalidJob` for a name that is none of low, normal, high, critical, and for what is
    not an integer of 32 bits.
    """
    if isinstance(priority, str):
        try:
            return Priority[priority.upper()].value
        except KeyError:
            names = ", ".join(p.name.lower() for p in Priority)
            raise InvalidJob(
                f"{priority!r} is not a priority.", hint=f"Use one of {names}, or an integer."
            ) from None
    if isinstance(priority, bool) or not isinstance(priority, int):
        raise InvalidJob(f"{priority!r} is not a priority: it must be a name or an integer.")
    if not -(2**31) <= priority < 2**31:
        raise InvalidJob("A priority must fit 32 bits.")
    return int(priority)


def check_name(what: str, name: object) -> str:
    """Return `name` when it may name a `what` (kind, queue); raise `InvalidJob` otherwise."""
    if not (isinstance(name, str) and NAME.fullmatch(name)):
        raise InvalidJob(
            f"{name!r} cannot name a {what}.",
            hint="Use 1 to 128 letters, digits, '.', '_', ':' or '-', the first a letter or digit.",
        )
    return name


def check_type(name: str, value: object, types: type | UnionType, what: str) -> None:
    """Raise `InvalidJob` unless what was given as `name` is of one of `types`; a bool is none."""
    if isinstance(value, bool) or not isinstance(value, types):
        raise InvalidJob(f"{name} must be {what}, not a {type(value).__name__}.")


@dataclass(frozen=True, slots=True)
class NewJob:
    """What a client asks for. `args` is JSON text that was checked against the kind.

    `delay` is in seconds from the store's clock at enqueue; `run_at` is an instant in
    milliseconds since 1970 UTC. At most one of them is given. `timeout` is in seconds per
    attempt, None for no limit. `after` names jobs that must succeed first. `unique` may be
    held by one unfinished job at a time: a second enqueue returns the first one's id. So it does
    with the same `idempotency_key` for as long as that job is kept, finished or not. A job of
    another kind cannot be the answer: that is a `Conflict`.
    """

    kind: str
    args: str = "{}"
    queue: str = "default"
    priority: int = 0
    delay: float = 0.0
    run_at: int | None = None
    timeout: float | None = None
    max_attempts: int = 5
    backoff: Backoff = DEFAULT_BACKOFF
    unique: str | None = None
    after: Sequence[int] = ()
    idempotency_key: str | None = None


class Enqueued(NamedTuple):
    """The store's answer to one `NewJob`: durable when it is returned."""

    id: int
    state: State
    existing: bool
    """True when nothing was stored: this is the job that holds `unique`, or that the idempotency
    key has made."""


class Claimed(NamedTuple):
    """One attempt as a worker holds it: (id, attempt, worker) is its fence."""

    id: int
    attempt: int
    kind: str
    args: str
    queue: str
    priority: int
    timeout: float | None
    max_attempts: int
    backoff: Backoff
    failures: int
    crashes: int
    lost: int
    solo: bool
    cancel_requested: bool
    enqueued_at: int
    started_at: int


@dataclass(frozen=True, slots=True)
class Job:
    """A job as the store knows it, finished or not. Instants are milliseconds since 1970 UTC.

    `attempt` only ever grows; the retry budget is counted by `failures`. `result` is JSON
    text; `error` is that of the last attempt that had one. `outcome` is the last attempt's. `solo`
    says whether it runs alone in its process; of a job that an attempt has ended, whether that did.
    `idempotency_keys` are those that are answered with this job: the one that has made it, and any
    that was given with the `unique` key it held.
    """

    id: int
    kind: str
    queue: str
    state: State
    priority: int
    args: str
    attempt: int
    failures: int
    crashes: int
    lost: int
    max_attempts: int
    timeout: float | None
    backoff: Backoff
    enqueued_at: int
    run_at: int
    started_at: int | None = None
    finished_at: int | None = None
    worker: int | None = None
    unique: str | None = None
    solo: bool = False
    cancel_requested: bool = False
    progress: int | None = None
    message: str | None = None
    outcome: Outcome | None = None
    result: str | None = None
    error: Mapping[str, Any] | None = None
    waits_for: Sequence[int] = ()
    idempotency_keys: Sequence[str] = ()

    @property
    def is_finished(self) -> bool:
        """Whether the job is in one of its final states."""
        return self.state in FINAL


@dataclass(frozen=True, slots=True)
class Attempt:
    """One ended attempt of a job."""

    job_id: int
    attempt: int
    worker: int
    started_at: int
    finished_at: int
    outcome: Outcome
    error: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class QueueStats:
    """One queue at a glance. Ages are in milliseconds."""

    name: str
    paused: bool = False
    counts: Mapping[State, int] = field(default_factory=dict)
    oldest_available_age: int | None = None
    """For how long the first of its available jobs could have been claimed."""


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """One worker: a supervised group of processes, with a new id per start."""

    id: int
    host: str
    pid: int
    started_at: int
    lease_until: int
    state: str
    """``alive``, ``draining``, ``gone`` (it said goodbye) or ``lost`` (it was found dead)."""
    queues: Sequence[str]
    kinds: Sequence[str]
    processes: int
    concurrency: int
    running: int
    restarts: int = 0
