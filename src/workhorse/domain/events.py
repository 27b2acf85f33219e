"""What is written down of a job's life: one row per edge, and the job's own output.

An audit event (a verb, or a worker's coming and going) holds ids and metadata, never a
payload. Output events (`progress`, `log`) hold what the handler chose to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, NamedTuple

from workhorse.domain.transitions import Verb


class Output(StrEnum):
    """What a running handler adds to the stream."""

    PROGRESS = "progress"
    LOG = "log"


class Life(StrEnum):
    """What becomes of a worker or a queue."""

    WORKER_STARTED = "worker_started"
    WORKER_DRAINING = "worker_draining"
    WORKER_STOPPED = "worker_stopped"
    WORKER_LOST = "worker_lost"
    CHILD_DIED = "child_died"
    QUEUE_PAUSED = "queue_paused"
    QUEUE_RESUMED = "queue_resumed"
    JOB_DELETED = "job_deleted"


EVENT_NAMES: Final = (
    *(v.value for v in Verb),
    *(o.value for o in Output),
    *(x.value for x in Life),
)
"""Every event there is, by the name the store keeps."""


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the record. `seq` grows with the record and is the cursor into it.

    `at` is in milliseconds since 1970 UTC. For a verb, `data` holds the outcome, and the reason
    when it is Workhorse's or an operator's; of a handler's error only the type, for its words
    may hold payload. For `progress` it is ``{"percent", "message"}``; for `log`
    ``{"message", "stream", …}``.
    """

    seq: int
    at: int
    name: str
    job_id: int | None = None
    attempt: int | None = None
    worker: int | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


class OutputLine(NamedTuple):
    """One progress or log line on its way to the store."""

    job_id: int
    attempt: int
    name: Output
    data: str
    """JSON text."""
