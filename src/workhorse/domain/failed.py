"""The errors of a job that has ended without a result: they carry the job."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from workhorse.domain.errors import WorkhorseError

if TYPE_CHECKING:
    from workhorse.domain.job import Job


class JobFailed(WorkhorseError):
    """The job ended, but not in `succeeded`, so it has no result."""

    code = "job_failed"

    def __init__(self, message: str, *, job: Job, hint: str | None = None) -> None:
        """Keep the ended job as ``.job``."""
        super().__init__(message, hint=hint)
        self.job = job

    def __reduce__(self) -> tuple[Any, ...]:
        """Go whole into another process, as the others do: what they are made from is `args`."""
        return partial(type(self), job=self.job), self.args, self.__dict__


class JobCancelled(JobFailed):
    """The job was cancelled before it could end by itself."""

    code = "job_cancelled"
