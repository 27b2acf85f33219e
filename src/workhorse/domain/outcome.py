"""How an attempt can end, as one value each: the input of `settle`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

ON_REQUEST: Final = "cancelled on request"
"""Why a job was cancelled, when nobody said more."""


class Failure(NamedTuple):
    """What is kept of an error: plain text, already cleaned and cut to size by the edge."""

    type: str
    message: str
    traceback: str | None = None

    def as_row(self, **more: Any) -> dict[str, Any]:
        """Return the JSON object the store keeps, with `more` facts beside it."""
        row: dict[str, Any] = {"type": self.type, "message": self.message}
        if self.traceback:
            row["traceback"] = self.traceback
        row.update({key: value for key, value in more.items() if value is not None})
        return row


class Completed(NamedTuple):
    """The handler returned. `result` is JSON text, or None when it returned None."""

    result: str | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The handler raised. `permanent` when the retry policy does not want the error again."""

    error: Failure
    permanent: bool = False
    out_of_memory: bool = False


@dataclass(frozen=True, slots=True)
class Rejected:
    """The handler raised `Reject`: the job can never succeed."""

    reason: str


@dataclass(frozen=True, slots=True)
class Snoozed:
    """The handler raised `Snooze`: run it later, no attempt of the budget used. Seconds."""

    delay: float
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class TimedOut:
    """The attempt was over its time limit (seconds) and has been ended."""

    limit: float


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The attempt was cancelled by a client and has been ended."""

    reason: str = ON_REQUEST


@dataclass(frozen=True, slots=True)
class Released:
    """The attempt was given back unfinished: a draining worker, or a neighbour's recycling.

    `reason` says which fault explains the re-run. `solo` asks that the next attempt runs alone;
    `gone` says that its process died and nothing speaks for or against it: that counts as a lost
    lease does.
    """

    reason: str
    solo: bool = False
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Crashed:
    """The process died while this attempt was alone in it: evidence against the job."""

    exit_code: int | None = None
    exit_signal: str | None = None
    out_of_memory: bool = False

    @property
    def failure(self) -> Failure:
        """The crash in words."""
        how = f"by {self.exit_signal}" if self.exit_signal else f"with exit code {self.exit_code}"
        return Failure("Crashed", f"The process running this job ended {how}.")


@dataclass(frozen=True, slots=True)
class Lost:
    """The worker's lease ran out, or its process tree is gone: no evidence against the job."""

    reason: str = "the worker's lease ran out"


AttemptOutcome: TypeAlias = (
    Completed | Failed | Rejected | Snoozed | TimedOut | Cancelled | Released | Crashed | Lost
)
