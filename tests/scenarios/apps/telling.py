"""How handlers tell the ledger what they do."""

from __future__ import annotations

import os

from tests.scenarios.ledger import tell
from tests.scenarios.procs import ancestors
from workhorse import Context


def start(ctx: Context) -> None:
    """Tell that this attempt runs, and in which process below which others."""
    pid = os.getpid()
    tell("start", job=ctx.job_id, attempt=ctx.attempt, pid=pid, holders=ancestors(pid))


def end(ctx: Context) -> None:
    """Tell that the handler of this attempt has done its work."""
    tell("end", job=ctx.job_id, attempt=ctx.attempt, pid=os.getpid())


def fail(ctx: Context) -> None:
    """Tell that the handler of this attempt is about to raise, on purpose."""
    tell("fail", job=ctx.job_id, attempt=ctx.attempt, pid=os.getpid())
