"""When a failed attempt is run again, and how long to wait first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from workhorse.domain.errors import InvalidJob

MAX_DELAY: Final = 6 * 3600.0
"""Longest default wait between two attempts, in seconds."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential waits: ``base * factor ** (n - 1)`` seconds after the n-th failure.

    The wait is capped at `cap` seconds, then spread by ±`jitter` (a fraction), so that a
    thousand jobs failed by one outage do not come back in the same instant.
    """

    base: float = 2.0
    factor: float = 4.0
    cap: float = MAX_DELAY
    jitter: float = 0.2

    def __post_init__(self) -> None:
        """Refuse a backoff that could wait a negative or an endless time."""
        if not (self.base >= 0 and self.factor >= 1 and self.cap >= 0 and 0 <= self.jitter <= 1):
            raise InvalidJob(
                f"{self!r} is not a backoff.",
                hint="Needed: base >= 0, factor >= 1, cap >= 0 and 0 <= jitter <= 1.",
            )

    def delay(self, failures: int, chance: float) -> float:
        """Return the seconds to wait after `failures` failures (1 or more).

        `chance` is a number from 0 to 1: it places the wait within the jitter.
        """
        exponent = min(failures - 1, 64)
        wait = min(self.cap, self.base * self.factor**exponent)
        return wait * (1 + self.jitter * (2 * chance - 1))


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a kind is tried, how long it waits, and which errors are worth it.

    `max_attempts` is the budget of failures: a snooze, a release by a draining worker or a
    lost lease spends none of it. An exception that is an instance of a type in `never`
    fails the job at once, as does one that is not an instance of any type in `on`.
    """

    max_attempts: int = 5
    base: float = 2.0
    factor: float = 4.0
    cap: float = MAX_DELAY
    jitter: float = 0.2
    on: tuple[type[BaseException], ...] = (Exception,)
    never: tuple[type[BaseException], ...] = ()

    def __post_init__(self) -> None:
        """Refuse a policy that can never run, or whose waits make no sense."""
        if self.max_attempts < 1:
            raise InvalidJob(
                f"max_attempts must be 1 or more, not {self.max_attempts}.",
                hint="Use Retry(max_attempts=1) for a job that is tried once.",
            )
        _ = self.backoff

    @property
    def backoff(self) -> Backoff:
        """The waits of this policy, without its types: this much is stored with the job."""
        return Backoff(self.base, self.factor, self.cap, self.jitter)

    def wants(self, error: BaseException) -> bool:
        """Tell whether an attempt that raised `error` is worth another."""
        return isinstance(error, self.on) and not isinstance(error, self.never)


NO_RETRY: Final[Retry] = Retry(max_attempts=1)
DEFAULT_BACKOFF: Final = Backoff()


def backoff_to_row(backoff: Backoff) -> list[float] | None:
    """Return what the store keeps of a backoff: nothing when it is the default one."""
    if backoff == DEFAULT_BACKOFF:
        return None
    return [backoff.base, backoff.factor, backoff.cap, backoff.jitter]


def backoff_from_row(row: list[Any] | None) -> Backoff:
    """Return the backoff that `backoff_to_row` put down."""
    return DEFAULT_BACKOFF if row is None else Backoff(*row)
