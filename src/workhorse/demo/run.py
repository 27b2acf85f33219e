"""The demo from start to end: enqueue, work, watch, judge."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

from workhorse.demo import report
from workhorse.demo.plan import Act, acts
from workhorse.demo.view import View, view_for
from workhorse.demo.watch import Sight, look, see
from workhorse.demo.worker import running_worker
from workhorse.demo.workspace import Workspace, fresh_workspace, sample_project
from workhorse.store.opening import open_store

if TYPE_CHECKING:
    import subprocess

    from workhorse.domain.job import Job
    from workhorse.store.protocol import ClientStore

DEADLINE: Final = 90.0
"""Seconds after which the demo stops waiting; it takes about 15."""
GLANCE: Final = 0.1
"""Seconds between two looks at the store."""

Plan = Callable[[Path, Path], Sequence[Act]]


def run_demo(
    root: Path = Path(".workhorse"),
    *,
    keep: bool = False,
    deadline: float = DEADLINE,
    plan: Plan = acts,
    out: TextIO | None = None,
) -> int:
    """Run the demo in the folder `root`; return 0 only when every job ended as announced.

    With `keep`, what the build made stays in ``root/demo``. It gives up `deadline` seconds
    after its start and says what had not ended. Ctrl-C drains the worker and is raised again.
    """
    out = out or sys.stdout
    end = time.monotonic() + deadline
    with fresh_workspace(root, keep=keep) as work:
        store = open_store(work.url)
        try:
            played, faults = _play(plan(sample_project(), work.copies), store, work, end, out)
        finally:
            store.close()
        out.write("\n")
        report.write_table(out, played)
        out.write("\n")
        if faults:
            report.write_faults(out, faults, work)
            return 1
        report.write_story(out, _shell(work), work)
        return 0
