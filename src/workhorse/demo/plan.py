"""The demo as data: which jobs it runs, what it does to them, and how each must end."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from workhorse.demo.watch import Sight
from workhorse.domain.job import Outcome, State
from workhorse.store.protocol import ClientStore

Check = Callable[[Sight], str | None]
"""Says what is wrong with a job that ended, or None."""
Nudge = Callable[[ClientStore, Sight], str | None]
"""Does something to a running job when its moment has come, and says what it did."""


@dataclass(frozen=True, slots=True)
class Act:
    """One job of the demo and how it must end."""

    kind: str
    shows: str
    args: Mapping[str, Any] = field(default_factory=dict)
    delay: float = 0.0
    state: State = State.SUCCEEDED
    outcomes: tuple[Outcome, ...] = (Outcome.OK,)
    says: Callable[[Any], str] = str
    """Puts what the job returned in few words."""
    checks: tuple[Check, ...] = ()
    nudge: Nudge | None = None
    nudge_at: int = 100
    """The progress of its first attempt, in percent, from which it is nudged, once."""

    def faults(self, sight: Sight) -> list[str]:
        """Return in what the job did not end as announced."""
        found = []
        if sight.job.state is not self.state:
            found.append(f"it is {sight.job.state}, and should be {self.state}")
        if sight.outcomes != self.outcomes:
            were, should = ", ".join(sight.outcomes) or "none", ", ".join(self.outcomes)
            found.append(f"its attempts ended {were}, and should have ended {should}")
        return found or [fault for check in self.checks if (fault := check(sight))]


def acts(project: Path, into: Path) -> tuple[Act, ...]:
    """Return the demo: checks of `project` that work in the folder `into`, then trouble."""
    place = {"project": str(project), "into": str(into)}
    return (
        Act(
            "build", "a real build, in a process of its own", place, says=_artifacts,
            checks=(_artifacts_are_there(into / "dist"),),
        ),
        Act(
            "test", "a test suite with one failing test", place, says=_tests,
            checks=(_counts("tests", ("passed", 13), ("failed", 1)),),
        ),
        Act(
            "lint", "a linter that finds one error", place, says=_findings,
            checks=(_counts("lint", ("findings", 1)),),
        ),
        Act(
            "fetch", "fails twice, then succeeds", {"failures": 2},
            outcomes=(Outcome.ERROR, Outcome.ERROR, Outcome.OK),
            says=lambda result: f"answered on call {result['calls']}",
        ),
        Act(
            "stuck", "hangs until its time limit ends it",
            state=State.FAILED, outcomes=(Outcome.TIMED_OUT,), checks=(_its_processes_are_gone,),
        ),
        Act(
            "render", "its process is killed while it runs", {"seconds": 3.0},
            outcomes=(Outcome.CRASHED, Outcome.OK), nudge=_kill, nudge_at=30,
            says=lambda result: f"{result['frames']} frames, on attempt {result['attempt']}",
        ),
        Act(
            "export", "is cancelled half-way", {"seconds": 5.0},
            state=State.CANCELLED, outcomes=(Outcome.CANCELLED,), nudge=_cancel, nudge_at=50,
        ),
        Act(
            "remind", "waits for its time", {"text": "tea is ready"}, delay=DELAY,
            says=lambda result: f"“{result['text']}”", checks=(_waited,),
        ),
    )  # fmt: skip


DELAY: Final = 4.0
"""How much later `remind` runs, in seconds."""


def _kill(_store: ClientStore, sight: Sight) -> str | None:
    """Kill the job's process from outside, as the kernel would when memory runs out."""
    pids = sight.pids.get(sight.job.attempt)
    if not pids:
        return None
    try:
        os.kill(pids[0], signal.SIGKILL)
    except ProcessLookupError:
        return None
    return f"the demo sent SIGKILL to its process {pids[0]}"


def _cancel(store: ClientStore, sight: Sight) -> str:
    store.cancel(sight.job.id, reason="cancelled by the demo")
    return f"the demo cancelled it at {sight.job.progress} %"


def _artifacts(result: Any) -> str:
    wheel, sdist = result["artifacts"]
    return (
        f"{wheel['name']}, {wheel['size']:,} bytes, sha256 {wheel['sha256'][:8]}…; {sdist['name']}"
    )


def _tests(result: Any) -> str:
    failed = ", ".join(test["name"].rpartition(".")[2] for test in result["failed"])
    passed = f"{len(result['passed'])} passed"
    return f"{passed}, {len(result['failed'])} failed: {failed}" if failed else passed


def _findings(result: Any) -> str:
    count = f"{len(result['findings'])} finding" + "s" * (len(result["findings"]) != 1)
    listed = "; ".join(f"{f['file']}:{f['line']} {f['code']}" for f in result["findings"])
    return f"{count} in {result['files']} files: {listed}" if listed else count


def _artifacts_are_there(folder: Path) -> Check:
    def check(sight: Sight) -> str | None:
        for artifact in sight.result["artifacts"]:
            path = folder / artifact["name"]
            if not path.is_file() or path.stat().st_size != artifact["size"]:
                return f"{path} is not there as it was returned"
        return None

    return check


def _counts(what: str, *wanted: tuple[str, int]) -> Check:
    def check(sight: Sight) -> str | None:
        found = [(key, len(sight.result[key])) for key, _ in wanted]
        if found == list(wanted):
            return None
        return f"{what}: {_pairs(found)}; expected {_pairs(list(wanted))}"

    return check


def _pairs(counts: list[tuple[str, int]]) -> str:
    return ", ".join(f"{count} {word}" for word, count in counts)


def _its_processes_are_gone(sight: Sight) -> str | None:
    pids = [pid for pids in sight.pids.values() for pid in pids]
    if not pids:
        return "it never said which processes it started"
    alive = [pid for pid in pids if _is_alive(pid)]
    return f"its processes {alive} are still alive" if alive else None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _waited(sight: Sight) -> str | None:
    waited = sight.seconds_waited
    return None if waited >= DELAY else f"it ran after {waited:.1f} s, before it was due"
