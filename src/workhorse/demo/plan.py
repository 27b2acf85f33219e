"""The demo as data: which jobs it runs, what it does to them, and how each must end."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from workhorse import Workhorse
from workhorse.demo.watch import Sight
from workhorse.domain.job import Job, Outcome, State

Check = Callable[[Sight], str | None]
"""Says what is wrong with a job that ended, or None."""
Nudge = Callable[[Workhorse, Sight], str | None]
"""Does something to a running job and says what it did; None when there is nothing to do it to."""

DELAY: Final = 4.0
"""How much later `remind` runs, in seconds."""


@dataclass(frozen=True, slots=True)
class Act:
    """One job of the demo and how it must end."""

    kind: str
    shows: str
    """What is announced."""
    args: Mapping[str, Any] = field(default_factory=dict)
    delay: float | None = None
    state: State = State.SUCCEEDED
    outcomes: tuple[Outcome, ...] = (Outcome.OK,)
    says: Callable[[Any], str] = str
    """Puts what the job returned in few words."""
    checks: tuple[Check, ...] = ()
    nudge: Nudge | None = None
    nudge_at: int = 100
    """The progress in percent from which it is nudged, once."""

    def fault(self, sight: Sight) -> str | None:
        """Return in what the job did not end as announced, if in anything."""
        if not sight.job.is_finished:
            return f"it has not ended: it is {sight.job.state}"
        if sight.job.state is not self.state:
            return f"it is {sight.job.state}, and should be {self.state}"
        if sight.outcomes != self.outcomes:
            were, should = ", ".join(sight.outcomes) or "none", ", ".join(self.outcomes)
            return f"its attempts ended {were}, and should have ended {should}"
        return next((fault for check in self.checks if (fault := check(sight))), None)

    def tells(self, job: Job) -> str:
        """Return what an ended job returned, or why it did not."""
        if job.state is State.SUCCEEDED:
            return self.says(json.loads(job.result or "null"))
        return str((job.error or {}).get("message", job.state))


def acts(project: Path, into: Path) -> tuple[Act, ...]:
    """Return the demo: checks of `project` that work in the folder `into`, then trouble."""
    place = {"project": str(project), "into": str(into)}
    return (
        Act(
            "build", "a wheel and a source archive", place, says=_artifacts,
            checks=(_artifacts_are_there(into / "dist"),),
        ),
        Act(
            "test", "14 tests, one of which fails", place, says=_tests,
            checks=(_counts("passed", 13), _counts("failed", 1)),
        ),
        Act(
            "lint", "nine files, one lint error", place, says=_findings,
            checks=(_counts("findings", 1),),
        ),
        Act(
            "fetch", "fails twice, then succeeds", {"failures": 2},
            outcomes=(Outcome.ERROR, Outcome.ERROR, Outcome.OK),
            says=lambda result: f"answered on call {result['calls']}",
        ),
        Act(
            "stuck", "starts up, hangs to its limit",
            state=State.FAILED, outcomes=(Outcome.TIMED_OUT,), checks=(_its_processes_are_gone,),
        ),
        Act(
            "render", "gets a kill -9, and runs again", {"seconds": 2.5},
            outcomes=(Outcome.CRASHED, Outcome.OK), nudge=_kill, nudge_at=30,
            says=lambda result: f"{result['frames']} frames",
        ),
        Act(
            "export", "is cancelled half-way", {"seconds": 5.0},
            state=State.CANCELLED, outcomes=(Outcome.CANCELLED,), nudge=_cancel, nudge_at=50,
        ),
        Act(
            "remind", f"is delayed by {DELAY:g} s", {"text": "tea is ready"}, delay=DELAY,
            says=lambda result: str(result["text"]), checks=(_waited,),
        ),
    )  # fmt: skip


def _kill(_app: Workhorse, sight: Sight) -> str | None:
    """Kill the job's process from outside, as the kernel would when memory runs out."""
    pids = sight.pids.get(sight.job.attempt)
    if not pids:
        return None
    try:
        os.kill(pids[0], signal.SIGKILL)
    except ProcessLookupError:
        return None
    return f"its process {pids[0]} got a kill -9"


def _cancel(app: Workhorse, sight: Sight) -> str:
    app.get(sight.job.id).cancel()
    return f"cancelled at {sight.job.progress} %"


def _artifacts(result: Any) -> str:
    return ", ".join(f"{made['name']} ({made['size']:,} bytes)" for made in result["artifacts"])


def _tests(result: Any) -> str:
    failed = ", ".join(test["name"].rpartition(".")[2] for test in result["failed"])
    passed = f"{len(result['passed'])} passed"
    return f"{passed}, {len(result['failed'])} failed: {failed}" if failed else passed


def _findings(result: Any) -> str:
    found = [f"{f['file']}:{f['line']} {f['code']} {f['message']}" for f in result["findings"]]
    return f"{len(found)} finding: {'; '.join(found)}" if found else "nothing found"


def _artifacts_are_there(folder: Path) -> Check:
    def check(sight: Sight) -> str | None:
        for artifact in sight.result["artifacts"]:
            path = folder / artifact["name"]
            if not path.is_file() or path.stat().st_size != artifact["size"]:
                return f"{path} is not there as it was returned"
        return None

    return check


def _counts(what: str, wanted: int) -> Check:
    def check(sight: Sight) -> str | None:
        found = len(sight.result[what])
        return None if found == wanted else f"{what}: {found}, and should be {wanted}"

    return check


def _its_processes_are_gone(sight: Sight) -> str | None:
    alive = [pid for pids in sight.pids.values() for pid in pids if _is_alive(pid)]
    return f"its processes {alive} are still alive" if alive else None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError):  # gone, or somebody else's by now
        return False
    return True


def _waited(sight: Sight) -> str | None:
    waited = sight.seconds_waited
    return None if waited >= DELAY else f"it ran after {waited:.1f} s, before it was due"
