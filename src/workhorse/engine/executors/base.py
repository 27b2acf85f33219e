"""The protocol between a child's loop and its executors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from workhorse.domain.job import Claimed
    from workhorse.domain.outcome import AttemptOutcome
    from workhorse.engine.output import OutputBuffer
    from workhorse.spec import KindSpec


class Run:
    """One attempt while it runs in this child."""

    __slots__ = (
        "deadline",
        "handle",
        "job",
        "kind",
        "over",
        "slot",
        "started",
        "stop",
        "stopped_at",
        "told",
    )

    def __init__(
        self, job: Claimed, kind: KindSpec, slot: int, started: float, deadline: float
    ) -> None:
        """Begin at `started`, with `deadline` on the local clock (inf for none)."""
        self.job = job
        self.kind = kind
        self.slot = slot
        self.started = started
        self.deadline = deadline
        self.stop: AttemptOutcome | None = None
        """Set when the attempt is told to end: what it will be settled as."""
        self.stopped_at = 0.0
        self.told = False
        """Whether the handler has been told so."""
        self.over = False
        self.handle: Any = None
        """The executor's own: a task, a process."""

    def stopping(self) -> bool:
        """Tell the handler whether the attempt is to end."""
        if self.stop is None:
            return False
        self.told = True
        return True


class Executor(Protocol):
    """Runs attempts one way."""

    apart: bool
    """True when a run's process is not the child's: its crash is its own."""

    def start(self, run: Run) -> None:
        """Begin the attempt and return at once; `finish` follows."""

    def stop(self, run: Run) -> None:
        """End the attempt, whose `stop` says why. It may take `cancel_grace`, or not succeed.

        When it does not succeed the loop condemns its process, and the supervisor settles
        the attempt once that process is dead.
        """

    async def close(self) -> None:
        """End what idles: nothing runs any more."""


class Home(Protocol):
    """What an executor may use of the loop it serves."""

    output: OutputBuffer

    def give_time(self, run: Run, *, ahead: float = 0.0) -> None:
        """Have the time limit of a run begin now, or so many seconds `ahead`."""

    def finish(self, run: Run, outcome: AttemptOutcome) -> None:
        """Report the end of a run, on the loop's thread."""
