"""What the turns of a worker have in common in every dialect."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from workhorse.domain.events import Output, OutputLine
from workhorse.store.driver import Transaction
from workhorse.store.fast_json import compact
from workhorse.store.protocol import Settled

AttemptKey = tuple[int, int]
"""(job id, attempt)"""


def not_recorded(tx: Transaction, worker: int, settled: Sequence[Settled]) -> list[AttemptKey]:
    """Return the attempts that are not recorded just so, now or before."""
    stale: list[AttemptKey] = []
    for id, attempt, change in settled:
        fence = {"id": id, "attempt": attempt, "worker": worker}
        if tx.value("settle.recorded", **fence, outcome=change.outcome) is None:
            stale.append((id, attempt))
    return stale


def latest_progress(lines: Iterable[OutputLine]) -> str | None:
    """Return the rows of ``settle.progress``, the last word of each attempt; None without any."""
    latest = {
        (line.job_id, line.attempt): line.data for line in lines if line.name is Output.PROGRESS
    }
    return compact([[*fence, data] for fence, data in latest.items()]) if latest else None
