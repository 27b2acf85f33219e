"""When a failed attempt is run again, and how long to wait first."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from types import UnionType
from typing import Any, Final, TypeAlias, cast, get_args

from workhorse.domain.errors import InvalidJob

MAX_DELAY: Final = 100 * 365 * 86400.0
"""Furthest a job can be put off, in seconds: a hundred years."""
DEFAULT_CAP: Final = 6 * 3600.0
"""Longest wait between two attempts when nothing else is said, in seconds."""
MAX_BUDGET: Final = 2**31 - 1
"""Largest budget of failures."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential waits: ``base * factor ** (n - 1)`` seconds after the n-th failure.

    The wait is capped at `cap` seconds, then spread by ±`jitter` (a fraction), so that a
    thousand jobs failed by one outage do not come back in the same instant.
    """

    base: float = 2.0
    factor: float = 4.0
    cap: float = DEFAULT_CAP
    jitter: float = 0.2

    def __post_init__(self) -> None:
        """Refuse a backoff that could wait a negative or an endless time."""
        try:
            makes_sense = (
                0 <= self.base < math.inf
                and 1 <= self.factor < math.inf
                and 0 <= self.cap <= MAX_DELAY
                and 0 <= self.jitter <= 1
            )
        except TypeError:
            makes_sense = False
        if not makes_sense:
            raise InvalidJob(
                f"{self!r} is not a backoff.",
                hint="Needed: base >= 0, factor >= 1, cap >= 0 and 0 <= jitter <= 1, finite "
                "numbers, and a cap of at most a hundred years.",
            )

    def delay(self, failures: int, chance: float) -> float:
        """Return the seconds to wait after `failures` failures (1 or more).

        `chance` is a number from 0 to 1: it places the wait within the jitter.
        """
        try:
            wait = min(self.cap, self.base * float(self.factor) ** (failures - 1))
        except OverflowError:
            wait = self.cap if self.base else 0.0
        return wait * (1 + self.jitter * (2 * chance - 1))


DEFAULT_BACKOFF: Final = Backoff()
OUTAGE: Final = Backoff(base=0.05, factor=2.0, cap=1.0, jitter=1.0)
"""The waits while a store is out of reach, up to 2 s: work resumes within 5 s of its return, and
the processes of a fleet do not come in one instant."""


ErrorTypes: TypeAlias = "type[BaseException] | UnionType | Collection[type[BaseException]]"
"""Types of exceptions: one, a union, or some; what holds them keeps a tuple."""


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a kind is tried, how long it waits, and which errors are worth it.

    `max_attempts` is the budget of failures: a snooze, a release by a draining worker or a
    lost lease spends none of it. An exception that is an instance of a type in `never`
    fails the job at once, as does one that is not an instance of any type in `on`, and as do,
    always, arguments that do not fit the handler and a result that JSON cannot hold. An argument
    that the handler does not take (newer code may) is a `TypeError` like any other. `on` is not
    asked of a `MemoryError`, nor of what is no `Exception`, such as `SystemExit`.
    """

    max_attempts: int = 5
    base: float = 2.0
    factor: float = 4.0
    cap: float = DEFAULT_CAP
    jitter: float = 0.2
    on: ErrorTypes = (Exception,)
    never: ErrorTypes = ()

    def __post_init__(self) -> None:
        """Refuse a policy that can never run, or whose waits or types make no sense."""
        check_budget(self.max_attempts)
        _ = self.backoff
        object.__setattr__(self, "on", _exception_types("on", self.on))
        object.__setattr__(self, "never", _exception_types("never", self.never))

    @property
    def backoff(self) -> Backoff:
        """The waits of this policy, without its types: this much is stored with the job."""
        backoff = Backoff(self.base, self.factor, self.cap, self.jitter)
        return DEFAULT_BACKOFF if backoff == DEFAULT_BACKOFF else backoff

    def wants(self, error: BaseException) -> bool:
        """Tell whether an attempt that raised `error` is worth another."""
        return _is_one(error, self.on) and not self.refuses(error)

    def refuses(self, error: BaseException) -> bool:
        """Tell whether an attempt that raised `error` is to have no other."""
        return _is_one(error, self.never)


def _is_one(error: BaseException, types: ErrorTypes) -> bool:
    return isinstance(error, cast("tuple[type[BaseException], ...]", types))


def _exception_types(option: str, given: Any) -> tuple[type[BaseException], ...]:
    """Return exception types as a tuple, given as one, a union or some; refuse all else."""
    if isinstance(given, UnionType):
        given = get_args(given)
    types = tuple(given) if isinstance(given, (tuple, list, set, frozenset)) else (given,)
    for one in types:
        if not (isinstance(one, type) and issubclass(one, BaseException)):
            raise InvalidJob(
                f"{option}={one!r} is no type of exception.",
                hint=f"Needed: a tuple of them, such as {option}=(ValueError, OSError).",
            )
    return types


def check_budget(max_attempts: int) -> int:
    """Return a budget of failures that can be kept; raise `InvalidJob` for any other."""
    if isinstance(max_attempts, bool) or not isinstance(max_attempts, int):
        raise InvalidJob("max_attempts must be an integer.")
    if not 1 <= max_attempts <= MAX_BUDGET:
        raise InvalidJob(
            f"max_attempts must be 1 to {MAX_BUDGET:,}.",
            hint="Use 1 for a job that is tried once.",
        )
    return max_attempts


def backoff_to_row(backoff: Backoff) -> list[float] | None:
    """Return what the store keeps of a backoff: nothing when it is the default one."""
    if backoff == DEFAULT_BACKOFF:
        return None
    return [backoff.base, backoff.factor, backoff.cap, backoff.jitter]


def backoff_from_row(row: list[Any] | None) -> Backoff:
    """Return the backoff that `backoff_to_row` put down."""
    return DEFAULT_BACKOFF if row is None else Backoff(*row)
