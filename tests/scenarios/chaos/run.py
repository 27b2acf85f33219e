"""One chaos run, from an empty folder to a verdict."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.scenarios.chaos.content import read_content
from tests.scenarios.chaos.echo import Echo
from tests.scenarios.chaos.fleet import Fleet
from tests.scenarios.chaos.nemesis import Nemesis
from tests.scenarios.chaos.witness import Witness
from tests.scenarios.ledger import Ledger
from tests.scenarios.oracle import Verdict, acknowledged, judge
from tests.scenarios.stores import KINDS, Site
from tests.scenarios.workers import environment
from tests.services.fixtures import Clusters
from workhorse.domain.errors import Unavailable
from workhorse.domain.job import FINAL
from workhorse.store.opening import open_store
from workhorse.store.protocol import ClientStore

TICK = 0.02
DRAIN_WITHIN = 180.0
"""Seconds from the last healing in which every job must have ended, on a machine at its limit."""
MORE_FREEZES = 5
"""Most freezes beyond the schedule, played until a stale write has been tried."""
BUSY = 500
"""While faults are played, no fewer jobs than this wait."""


@dataclass(frozen=True)
class Plan:
    """What is to be played: given again, it is the same run as far as the machine allows."""

    seed: int
    jobs: int = 20_000
    seconds: float = 70.0
    """How long faults go on; the drain comes after."""
    workers: int = 3
    processes: int = 2
    concurrency: int = 10
    lease: float = 3.0
    renew: float = 0.5
    store: str = "sqlite"
    """One of `tests.scenarios.stores.KINDS`."""


@dataclass
class Report:
    """What came of it."""

    plan: Plan
    ok: bool
    violations: dict[str, list[str]]
    jobs: int
    acknowledged: int
    states: dict[str, int]
    attempts: int
    outcomes: dict[str, int]
    faults: dict[str, int]
    faults_total: int
    workers_started: int
    stale_writes_rejected: int
    late_finishes: int
    reruns_explained: dict[str, int]
    claims_forgotten: int
    exits_without_store: int
    connections_ended: int
    longest_crash_s: float
    overlaps_explained: int
    again_after_s: dict[str, dict[str, float]]
    slowest_end_of_a_killed_worker_s: float
    slowest_write_of_the_witness_s: float
    fault_seconds: float
    drain_seconds: float
    folder: str
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> str:
        return json.dumps(asdict(self), indent=2)

    def as_text(self) -> str:
        """Return the report in a few lines, with the first violations of each rule."""
        p = self.plan
        stale = len(self.violations.get("stale", ()))
        lines = [
            (
                f"chaos: {p.store}, seed {p.seed}, {self.jobs} jobs, {self.faults_total} faults in "
                f"{self.fault_seconds:.0f} s on {p.workers} × {p.processes} children, "
                f"lease {p.lease:g} s; drained in {self.drain_seconds:.1f} s"
            ),
            f"  faults: {_counts(self.faults)}; workers started: {self.workers_started}",
            f"  jobs: {_counts(self.states)}; acknowledged {self.acknowledged}",
            f"  attempts: {self.attempts} ({_counts(self.outcomes)})",
            (
                f"  re-runs explained: {_counts(self.reruns_explained)}; "
                f"overlaps explained: {self.overlaps_explained}"
            ),
            (
                f"  stale writes: {stale} accepted, {self.stale_writes_rejected} rejected; "
                f"{self.late_finishes} handlers finished too late"
            ),
            (
                "  a killed supervisor's processes were gone after "
                f"{self.slowest_end_of_a_killed_worker_s:.2f} s at most; the slowest write of "
                f"an onlooker took {self.slowest_write_of_the_witness_s:.2f} s"
            ),
        ]
        if KINDS[p.store].version:
            lines.append(
                f"  the server was away for {self.longest_crash_s:.2f} s at most, and forgot "
                f"{self.claims_forgotten} claims whose handlers had started; "
                f"{self.connections_ended} connections ended; {self.exits_without_store} workers "
                "ended for want of it at their start or end"
            )
        lines += [
            f"  after {what} jobs ran again in p50 {took['p50']:.2f} s, p99 {took['p99']:.2f} s"
            for what, took in self.again_after_s.items()
        ]
        for rule, found in self.violations.items():
            lines.append(f"  VIOLATION {rule}: {len(found)}")
            lines += [f"    {line}" for line in found[:5]]
        lines += [f"  note: {note}" for note in self.notes]
        verdict = "0 lost, 0 stuck, every re-run explained" if self.ok else "FAILED"
        lines.append(f"chaos: {verdict} (seed {p.seed}; {self.folder})")
        return "\n".join(lines)


class Client:
    """The producer process: killed now and then, and started again where it got to."""

    def __init__(self, plan: Plan, folder: Path, url: str, ledger: Ledger) -> None:
        self._plan = plan
        self._folder = folder
        self._ledger = ledger
        self._environment = environment(url, ledger.where)
        self._jobs = plan.jobs
        self._deadline = time.monotonic() + plan.seconds * 0.95
        self._process = self._start(0)

    def go_on(self, jobs: int) -> None:
        """Have it enqueue `jobs` more, in a few seconds, when it is done."""
        first, self._jobs = self._jobs, self._jobs + jobs
        self._deadline = time.monotonic() + jobs / 200
        self._process = self._start(first)

    def _start(self, first: int) -> subprocess.Popen[bytes]:
        left = max(1.0, self._deadline - time.monotonic())
        program = [sys.executable, "-m", "tests.scenarios.chaos.producer"]
        numbers = [str(n) for n in (self._plan.seed, self._jobs, left, first)]
        return subprocess.Popen([*program, *numbers], cwd=self._folder, env=self._environment)

    def kill(self) -> int:
        """Kill it, and have another go on; return the pid of the killed."""
        pid = self._process.pid
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
            acks = self._ledger.entries("ack")
            self._process = self._start(acks[-1].data["upto"] if acks else 0)
        return pid

    @property
    def is_done(self) -> bool:
        code = self._process.poll()
        assert code in {None, 0}, f"the producer failed with {code}"
        return code == 0

    def end(self) -> None:
        """See that it is gone, whatever happened."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()


def play(plan: Plan, folder: Path) -> Report:
    """Play `plan` in `folder`, and judge."""
    with ExitStack() as stack:
        site = stack.enter_context(KINDS[plan.store].place(folder, Clusters(stack)))
        return _play(plan, folder, site)


def _play(plan: Plan, folder: Path, site: Site) -> Report:
    store = open_store(site.url)
    settings = {
        "processes": plan.processes,
        "concurrency": plan.concurrency,
        "lease": plan.lease,
        "renew": plan.renew,
        "shutdown_timeout": 2,
        "cancel_grace": 0.5,
        "poll_interval": 0.5,
        "log_level": "warning",
        **site.worker,
    }
    with Ledger(folder) as ledger:
        with Witness(store, ledger) as witness:
            fleet = Fleet(folder, site.url, ledger, plan.workers, settings)
            client = Client(plan, folder, site.url, ledger)
            echo = Echo(store)
            began = time.monotonic()
            nemesis = Nemesis(
                fleet,
                ledger,
                seed=plan.seed,
                seconds=plan.seconds,
                lease=plan.lease,
                kill_client=client.kill,
                server=site.database,
            )
            try:
                more = 0
                while True:
                    fleet.keep()
                    nemesis.turn()
                    echo.listen()
                    if client.is_done and nemesis.is_over:
                        if more == MORE_FREEZES or any(_rejections(path) for path in fleet.logs):
                            break
                        more += 1
                        nemesis.freeze_one_more()
                    if client.is_done and _waiting(store) < BUSY:
                        client.go_on(BUSY)
                    time.sleep(TICK)
                healed = time.monotonic()
                _drain(fleet, store, healed + DRAIN_WITHIN)
                drained = time.monotonic()
                echoes = echo.write()
                fleet.stop()
            finally:
                client.end()
                fleet.kill()
                nemesis.end()
        entries = ledger.stop()
    content = read_content(store)
    store.close()
    rejected = echoes + sum(_rejections(path) for path in fleet.logs)
    verdict = judge(entries, content, rejected=rejected)
    return Report(
        plan=plan,
        ok=verdict.ok,
        violations={rule: found for rule, found in verdict.violations.items() if found},
        jobs=len(content.jobs),
        acknowledged=len(acknowledged(entries)),
        states=dict(Counter(end.state for end in content.jobs.values())),
        attempts=len(content.attempts),
        outcomes=dict(Counter(end.outcome for end in content.attempts)),
        faults=dict(nemesis.done),
        faults_total=nemesis.done.total(),
        workers_started=fleet.started,
        stale_writes_rejected=rejected,
        late_finishes=verdict.late_finishes,
        reruns_explained=dict(verdict.explained),
        overlaps_explained=verdict.overlaps_explained,
        claims_forgotten=verdict.forgotten,
        exits_without_store=verdict.outages,
        connections_ended=nemesis.connections_ended,
        longest_crash_s=round(nemesis.longest_crash, 3),
        again_after_s=_times(verdict),
        slowest_end_of_a_killed_worker_s=round(nemesis.slowest_end, 3),
        slowest_write_of_the_witness_s=round(witness.slowest, 3),
        fault_seconds=round(healed - began, 1),
        drain_seconds=round(drained - healed, 1),
        folder=str(folder),
        notes=[f"{nemesis.skipped} faults found no victim"] if nemesis.skipped else [],
    )


def _drain(fleet: Fleet, store: ClientStore, until: float) -> None:
    """Wait until nothing is unfinished, or time is up."""
    while time.monotonic() < until and _waiting(store):
        fleet.keep()
        time.sleep(0.1)


def _waiting(store: ClientStore) -> int:
    """Return how many jobs have not ended; while the store is away, that is some."""
    try:
        counts = store.counts()
    except Unavailable:
        return BUSY
    return sum(count for state, count in counts.items() if state not in FINAL)


def _rejections(path: Path) -> int:
    """Return how many of its writes this worker says were refused."""
    count = 0
    for line in path.read_text(errors="replace").splitlines():
        if line.startswith("{") and '"lease lost"' in line:
            row: dict[str, Any] = json.loads(line)
            count += row.get("event") == "lease lost"
    return count


def _times(verdict: Verdict) -> dict[str, dict[str, float]]:
    found = {}
    for what, seconds in sorted(verdict.again_after.items()):
        seconds.sort()
        worst = seconds[min(len(seconds) - 1, int(len(seconds) * 0.99))]
        found[what] = {"p50": round(seconds[len(seconds) // 2], 3), "p99": round(worst, 3)}
    return found


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {n}" for name, n in sorted(counts.items())) or "none"
