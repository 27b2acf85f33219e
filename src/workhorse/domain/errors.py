"""The errors a caller of Workhorse can meet, each with a stable code.

::

    WorkhorseError            code             exit   what the caller does
    ├─ InvalidJob             invalid          2      fix the arguments; nothing was stored
    │  └─ TooLarge            too_large        2      pass a reference instead of the bytes
    ├─ ConfigurationError     configuration    3      fix the setting or the app module named
    ├─ Unavailable            unavailable      4      the store cannot be used now: try again later
    │  ├─ StoreFull           store_full       4      free disk space; work resumes by itself
    │  └─ StoreGone           store_gone       4      the store was deleted: start again
    ├─ NotFound               not_found        5      the job, queue or kind does not exist
    │  └─ UnknownKind         unknown_kind     5      no such kind in this app; see the nearest name
    ├─ Conflict               conflict         6      the present state does not allow it
    ├─ LeaseLost              lease_lost       6      stop the attempt, write nothing
    ├─ ResultTimeout          timed_out        7      the job has not ended yet: wait longer
    └─ JobFailed              job_failed       1      the job ended without a result; see ``.job``
       └─ JobCancelled        job_cancelled    1

Codes never change meaning; the command line exits with ``exit_code``. The last two stand in
`workhorse.domain.failed`.
"""

from __future__ import annotations

from typing import ClassVar


class WorkhorseError(Exception):
    """Base of every error Workhorse raises on purpose."""

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        """Say what went wrong in `message`, and what to do next in `hint`."""
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """Return the message, and the hint on the same line when there is one."""
        return f"{self.message} {self.hint}" if self.hint else self.message


class InvalidJob(WorkhorseError):
    """The job's arguments or options cannot be accepted. Nothing was stored."""

    code = "invalid"
    exit_code = 2


class TooLarge(InvalidJob):
    """A payload or result is over its size limit."""

    code = "too_large"


class ConfigurationError(WorkhorseError):
    """A setting, or the app module, is missing or malformed."""

    code = "configuration"
    exit_code = 3


class Unavailable(WorkhorseError):
    """The store cannot be reached, or will not take a write now.

    Where the connection to a server was lost at the commit, the write may have happened: one
    `idempotency_key` for both makes one job of an enqueue that is done again.
    """

    code = "unavailable"
    exit_code = 4


class StoreFull(Unavailable):
    """The disk under the store is full. Nothing was changed; writes resume when space returns."""

    code = "store_full"


class StoreGone(Unavailable):
    """The store's file, or its schema, was deleted or replaced since this process opened it."""

    code = "store_gone"


class NotFound(WorkhorseError):
    """The thing named does not exist."""

    code = "not_found"
    exit_code = 5


class UnknownKind(NotFound):
    """No kind of that name is registered in the app."""

    code = "unknown_kind"


class Conflict(WorkhorseError):
    """The present state of the job, or of the store, does not allow what is asked for."""

    code = "conflict"
    exit_code = 6


class LeaseLost(WorkhorseError):
    """The job no longer belongs to this worker's attempt. Nothing was changed."""

    code = "lease_lost"
    exit_code = 6


class ResultTimeout(WorkhorseError, TimeoutError):
    """The job did not end within the time the caller was ready to wait."""

    code = "timed_out"
    exit_code = 7
