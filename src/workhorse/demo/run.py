"""The demo from start to end: enqueue, work, watch, judge."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

from workhorse.demo.app import app as demo_app
from workhorse.demo.plan import Act, acts
from workhorse.demo.report import Ended, Report, write_report
from workhorse.demo.view import View, view_for
from workhorse.demo.watch import look, see
from workhorse.demo.worker import running_worker
from workhorse.demo.workspace import Workspace, fresh_workspace, sample_project
from workhorse.domain.job import State
from workhorse.engine.exits import signal_name

if TYPE_CHECKING:
    import subprocess

    from workhorse import Workhorse
    from workhorse.domain.job import Job

DEADLINE: Final = 90.0
"""Seconds after which the demo stops waiting; it takes about ten."""
GLANCE: Final = 0.1
"""Seconds between two looks at the store."""

Plan = Callable[[Path, Path], Sequence[Act]]


def run_demo(
    root: Path = Path(".workhorse"),
    *,
    plan: Plan = acts,
    deadline: float = DEADLINE,
    out: TextIO | None = None,
) -> int:
    """Run the demo in the folder `root`; return 0 only when every job ended as announced.

    It gives up `deadline` seconds after its start and says what had not ended. Ctrl-C drains
    the worker and is raised again. Raises `Conflict` when a demo is running in `root`,
    `Unavailable` when it cannot be written.
    """
    out = out or sys.stdout
    with fresh_workspace(root) as work, _app_on(work) as app:
        report = _play(app, plan(sample_project(), work.files), work, deadline, out)
        write_report(out, report, work)
    return report.exit_code


@contextmanager
def _app_on(work: Workspace) -> Iterator[Workhorse]:
    """Give the app that the worker runs, on the demo's store."""
    demo_app.url = work.url
    try:
        yield demo_app
    finally:
        demo_app.close()


def _play(
    app: Workhorse, plan: Sequence[Act], work: Workspace, deadline: float, out: TextIO
) -> Report:
    """Enqueue the jobs, have a worker run them, and return what came of each."""
    start = time.monotonic()
    bound = [app.kind(act.kind).using(delay=act.delay).bind(**act.args) for act in plan]
    handles = app.enqueue_many(bound)
    play = _Play(app, {handle.id: act for handle, act in zip(handles, plan, strict=True)})
    with view_for(out) as view:
        with running_worker(work) as worker:
            try:
                trouble = play.follow(view, worker, start + deadline)
            except KeyboardInterrupt:
                view.note("interrupted: the worker drains; Ctrl-C again ends it at once")
                play.show(view)
                raise
            ended = play.judge()
        if trouble is None and worker.returncode:
            trouble = f"it ended {_by(worker.returncode)} when it was told to stop"
    return Report(ended, time.monotonic() - start, trouble)


class _Play:
    """The jobs of one demo while they run."""

    def __init__(self, app: Workhorse, announced: dict[int, Act]) -> None:
        """`announced` has an act for the id of each job."""
        self._app = app
        self._acts = announced
        self._nudges = {id: act.nudge for id, act in announced.items() if act.nudge is not None}

    def follow(self, view: View, worker: subprocess.Popen[bytes], end: float) -> str | None:
        """Show the jobs and nudge them until all have ended; return what went wrong, if so."""
        while True:
            code = worker.poll()
            jobs = self.show(view)
            if all(job.is_finished for job in jobs):
                return None
            if code is not None:
                return f"it ended {_by(code)} before its jobs did"
            if time.monotonic() > end:
                return "its jobs had not ended when the demo gave up waiting"
            for job in jobs:
                self._nudge(job, view)
            time.sleep(GLANCE)

    def show(self, view: View) -> list[Job]:
        """Look at all jobs, show them, and return them."""
        found = look(self._app.store, list(self._acts))
        view.show([(act, found[id]) for id, act in self._acts.items()])
        return list(found.values())

    def judge(self) -> list[Ended]:
        """Return how each job stands, and in what it did not end as announced."""
        store = self._app.store
        found = look(store, list(self._acts))
        sights = [(act, see(store, found[id])) for id, act in self._acts.items()]
        return [Ended(act, sight, act.fault(sight)) for act, sight in sights]

    def _nudge(self, job: Job, view: View) -> None:
        """Do to a running job what was planned, once, when it has come far enough."""
        nudge = self._nudges.get(job.id)
        if nudge is None or job.state is not State.RUNNING:
            return
        if (job.progress or 0) >= self._acts[job.id].nudge_at:
            said = nudge(self._app, see(self._app.store, job))
            if said is not None:
                del self._nudges[job.id]
                view.note(f"{job.kind:<6}  {said}")


def _by(code: int) -> str:
    return f"with exit code {code}" if code >= 0 else f"by {signal_name(-code)}"
