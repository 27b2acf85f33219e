"""What a worker is told at its start."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from workhorse.store.protocol import Retention


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """All a supervisor and its children need to know. Durations are seconds.

    `app` is ``module:attribute``. Queues are in strict order. A child is started afresh after
    `max_time`, after `max_jobs`, or above `max_memory_mib` of resident memory; it finishes what
    it runs first. So is the process of a process kind, by its memory. `shutdown_timeout` is the
    whole grace of a drain; what is left is released. `cancel_grace` is how long a handler may
    take to end once it is told to. A child that dies young is started again after
    `restart_delay`, doubling while it goes on; more than `crash_loop_restarts` deaths in
    `crash_loop_minutes` make the worker unhealthy. With `burst` the worker ends when nothing is
    left to run now, and does not wait for a store that is out of reach. `folder` is where it was
    started: there the processes of jobs begin, wherever a handler has gone meanwhile.
    """

    app: str
    queues: tuple[str, ...] = ("default",)
    processes: int = 1
    concurrency: int = 10
    poll_interval: float = 1.0
    lease: float = 30.0
    renew: float = 5.0
    shutdown_timeout: float = 25.0
    cancel_grace: float = 5.0
    max_time: float | None = 3600.0
    max_jobs: int | None = None
    max_memory_mib: int | None = None
    restart_delay: float = 1.0
    crash_loop_restarts: int = 5
    crash_loop_minutes: float = 5.0
    burst: bool = False
    folder: str | None = None
    log_level: str = "info"
    log_format: str = "auto"
    retention: Retention = field(default_factory=Retention)
    listen_url: str | None = None
    """Where the supervisor listens, when that is not where the store is used. A secret."""

    def to_json(self) -> str:
        """Return the config as JSON, for a child process: all of it but the secret."""
        return json.dumps({**asdict(self), "listen_url": None})

    @classmethod
    def from_json(cls, text: str) -> WorkerConfig:
        """Return the config that `to_json` wrote."""
        row: dict[str, Any] = json.loads(text)
        row["queues"] = tuple(row["queues"])
        row["retention"] = Retention(**row["retention"])
        return cls(**row)
