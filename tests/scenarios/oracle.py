"""The oracle: judges a run from what the ledger heard and what the store says in the end.

Pure: facts in, verdict out. It trusts the ledger for what really ran, the nemesis for what was
done to it, and the clients for what was acknowledged to them. The store is the accused.

A rule's name is the key under which its violations are reported:

- `lost`: a job that was acknowledged is not in the store.
- `stuck`: a job is not in a final state after everything was healed and given time.
- `condemned`: a job ended failed or cancelled, and what was done to it does not explain that.
- `stale`: a write of an attempt that was no longer the job's was accepted, or an attempt has more
  than one end.
- `unproven`: a job is recorded as succeeded, but no handler of that attempt ever finished.
- `rerun`: an attempt that had started ended without its job, and no fault on its holder explains
  it. (A worker may give back what it has not started: nothing is run again then.)
- `overlap`: two attempts of a job ran at once, and no freeze of a whole worker explains it.
- `twice`: one attempt was started more than once, and no crash of the server made it forget the
  claim of the one before the claim of the other.
- `survivor`: a process outlived the supervisor, or the lease, that it may not outlive.
- `exit`: a worker ended although nobody asked and nothing was done to it. (One that never came to
  work, or that had to say goodbye, says so with a code of its own while no server listens.)
- `untested`: no stale write was ever rejected: the fence was not put to the test.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final, NamedTuple

from tests.scenarios.ledger import Entry
from workhorse.domain.errors import Unavailable

SECOND: Final = 1_000_000_000
SLACK: Final = SECOND // 4
"""The store's clock counts in ms and is not the ledger's: an edge may seem this much off."""
FOREVER: Final = 1 << 62
WHOLE_WORKER: Final = frozenset(
    {"kill_supervisor", "stop_supervisor", "stop_tree", "deploy", "stall", "starved"}
)
"""Faults that explain a re-run of anything the worker held; the others, of one process."""
STALL: Final = 2 * SECOND
"""A store in which nothing moves for so long after a freeze is held up by what was frozen."""
FREEZES: Final = frozenset({"stop_tree"})
"""Faults after which an old attempt may wake beside its successor."""
STOPS: Final = FREEZES | {"stop_supervisor"}
"""Faults that may catch a process while it holds the store's lock."""
AFTER: Final = 5 * SECOND
"""How long it may take until what a starved worker has lost is written down."""
CRASHES: Final = frozenset({"crash_server"})
"""Faults after which the store may have forgotten its last claims: they are committed softly."""
OUTAGES: Final = CRASHES | {"end_connections"}
"""Faults while which the store may be out of reach."""
UNFLUSHED: Final = SECOND * 6 // 10
"""How old a claim may be that a crash takes along: three rounds of the server's log writer."""
CRASHES_TO_FAIL: Final = 3
LOSSES_TO_FAIL: Final = 10


class Fault(NamedTuple):
    """One thing done to the system: to process `pid` of the worker whose supervisor is `worker`."""

    what: str
    pid: int
    worker: int
    since: int
    until: int


class Run(NamedTuple):
    """One start of an attempt. `holders` are its process and those above it."""

    job: int
    attempt: int
    started: int
    ended: int | None
    told_to_fail: bool
    holders: tuple[int, ...]

    @property
    def last_sign(self) -> int:
        return self.started if self.ended is None else self.ended


Runs = Mapping[tuple[int, int], Sequence[Run]]
"""By (job, attempt), the starts of each in their order: one, if all is well."""


class JobEnd(NamedTuple):
    """What the store says of a job. `returned_by` is the attempt that made its result."""

    state: str
    attempt: int
    returned_by: int | None = None


class AttemptEnd(NamedTuple):
    """What the store says of an attempt. `worker` is its supervisor's pid; ledger times."""

    job: int
    attempt: int
    worker: int
    claimed: int
    ended: int
    outcome: str


@dataclass(frozen=True)
class Content:
    """The store's final word. `completes` are the attempts of each job's complete events.

    `workers` are the pids of those that came to work.
    """

    jobs: Mapping[int, JobEnd]
    attempts: Sequence[AttemptEnd]
    completes: Mapping[int, Sequence[int]]
    workers: Collection[int] = ()


@dataclass
class Verdict:
    """What was found. `explained` counts re-runs by what explains them."""

    violations: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    explained: Counter[str] = field(default_factory=Counter)
    overlaps_explained: int = 0
    forgotten: int = 0
    """Starts beyond the first of an attempt whose claim a crash of the server has taken along."""
    outages: int = 0
    """Workers that ended because they could not reach the store when they had to."""
    late_finishes: int = 0
    """Handlers that finished after their attempt had been taken from them."""
    again_after: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Seconds from a fault to the next start of a job it interrupted."""

    @property
    def ok(self) -> bool:
        """Whether no rule was broken."""
        return not any(self.violations.values())


def runs_of(entries: Iterable[Entry]) -> dict[tuple[int, int], list[Run]]:
    """Return every start. What a process says of an attempt is said of the last it has started."""
    runs: dict[tuple[int, int], list[Run]] = defaultdict(list)
    for entry in entries:
        if entry.what not in {"start", "end", "fail"}:
            continue
        key = (entry.data["job"], entry.data["attempt"])
        if entry.what == "start":
            runs[key].append(Run(*key, entry.at, None, False, tuple(entry.data["holders"])))
            continue
        of_attempt = runs.get(key, [])
        for place, run in reversed(list(enumerate(of_attempt))):
            if entry.data.get("pid", run.holders[0]) == run.holders[0]:
                of_attempt[place] = run._replace(ended=entry.at, told_to_fail=entry.what == "fail")
                break
    return dict(runs)


def faults_of(entries: Iterable[Entry]) -> list[Fault]:
    """Return the nemesis's faults; one that was never told to be over lasts for ever."""
    faults: dict[int, Fault] = {}
    for entry in entries:
        if entry.what == "fault":
            d = entry.data
            faults[d["n"]] = Fault(d["fault"], d["pid"], d["worker"], entry.at, FOREVER)
        elif entry.what == "fault_over":
            faults[entry.data["n"]] = faults[entry.data["n"]]._replace(until=entry.at)
    return list(faults.values())


def acknowledged(entries: Iterable[Entry]) -> set[int]:
    """Return the ids that the store acknowledged to a client."""
    return {job for entry in entries if entry.what == "ack" for job in entry.data["jobs"]}


def judge(entries: Sequence[Entry], content: Content, *, rejected: int) -> Verdict:
    """Return what is wrong. `rejected` is how many writes the workers say were refused as stale."""
    verdict = Verdict()
    runs = runs_of(entries)
    faults = faults_of(entries)
    memory = Memory(faults)
    _judge_starts(verdict, runs, content, memory)
    _judge_jobs(verdict, acknowledged(entries), content, runs)
    by_worker: dict[int, list[Fault]] = defaultdict(list)
    for fault in faults:
        by_worker[fault.worker].append(fault)
    stalls = _stalls(faults, content) + _starved(entries)
    causes = _judge_attempts(verdict, content, runs, by_worker, stalls, memory=memory)
    _judge_ends(verdict, content, causes)
    _judge_overlaps(verdict, runs, content, by_worker, memory)
    _judge_processes(verdict, entries, content, [*faults, *_starved(entries)])
    if rejected <= 0:
        verdict.violations["untested"].append("no stale write was rejected in this run")
    return verdict


class Memory:
    """Tells which starts a crash of the server may have made it forget: their claims went along."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        faults = list(faults)
        self._crashes = [fault for fault in faults if fault.what in CRASHES]
        self._freezes = [fault for fault in faults if fault.what in FREEZES]

    def lost(self, run: Run) -> list[Fault]:
        """Return the crashes that may have taken the claim of this run along.

        It started shortly before the crash or until shortly after; later only if its worker was
        frozen at the time, with the claim in its hands.
        """
        return [
            crash
            for crash in self._crashes
            if crash.since - UNFLUSHED <= run.started
            and run.started <= max(crash.until + SLACK, self._thawed(run, crash))
        ]

    def _thawed(self, run: Run, crash: Fault) -> int:
        frozen = (
            freeze.until
            for freeze in self._freezes
            if freeze.worker in run.holders
            and freeze.since - SLACK <= crash.until
            and freeze.until >= crash.since
        )
        return max(frozen, default=0)


def _judge_starts(verdict: Verdict, runs: Runs, content: Content, memory: Memory) -> None:
    """twice: only with a crash between the claims, one for each start beyond the first."""
    claimed = {(end.job, end.attempt): end.claimed for end in content.attempts}
    for key, starts in runs.items():
        used: set[int] = set()
        for old, new in pairwise(starts):
            # Frozen, or slow, it may start when another has: it is the claims that a crash parts.
            between = [crash for crash in memory.lost(old) if crash.since < new.started]
            between += [crash for crash in memory.lost(new) if crash.since < old.started]
            fresh = [crash for crash in between if crash.since not in used]
            if not fresh or claimed.get(key, FOREVER) < fresh[0].since - SLACK:
                verdict.violations["twice"].append(
                    f"job {key[0]} attempt {key[1]} started again: {old}, {new}"
                )
                continue
            used.add(fresh[0].since)
            verdict.forgotten += 1


def _recorded(end: AttemptEnd, runs: Runs, memory: Memory) -> list[Run]:
    """Return the starts that the claim on record may be of; not those of a forgotten claim."""
    found = runs.get((end.job, end.attempt), ())
    return [
        run
        for run in found
        if not (
            memory.lost(run)
            and (end.worker not in run.holders or run.started < end.claimed - SLACK)
        )
    ]


def _judge_jobs(verdict: Verdict, acked: set[int], content: Content, runs: Runs) -> None:
    """lost, stuck, stale, unproven."""
    bad = verdict.violations
    workers = {(end.job, end.attempt): end.worker for end in content.attempts}
    for job in sorted(acked - content.jobs.keys()):
        bad["lost"].append(f"job {job} was acknowledged and is not in the store")
    for job, end in content.jobs.items():
        if end.state not in {"succeeded", "failed", "cancelled"}:
            bad["stuck"].append(f"job {job} is still {end.state} at attempt {end.attempt}")
        if end.state != "succeeded":
            continue
        if end.returned_by not in {None, end.attempt}:
            bad["stale"].append(
                f"job {job}: its result is by attempt {end.returned_by}, its last is {end.attempt}"
            )
        starts = runs.get((job, end.attempt), ())
        if len(starts) > 1:  # then it counts what was done by the worker that has it
            holder = workers.get((job, end.attempt), 0)
            starts = [run for run in starts if holder in run.holders]
        if all(run.ended is None for run in starts):
            bad["unproven"].append(f"job {job} succeeded, but attempt {end.attempt} never finished")
    for job, attempts in content.completes.items():
        if len(attempts) > 1:
            bad["stale"].append(f"job {job} was completed {len(attempts)} times: {attempts}")
    ends = Counter((end.job, end.attempt) for end in content.attempts)
    for (job, attempt), count in ends.items():
        if count > 1:
            bad["stale"].append(f"job {job} attempt {attempt} has {count} ends")


def _judge_attempts(
    verdict: Verdict,
    content: Content,
    runs: Runs,
    faults: Mapping[int, Sequence[Fault]],
    stalls: Sequence[Fault],
    *,
    memory: Memory,
) -> dict[int, Counter[str]]:
    """stale, rerun. Return, by job, how often each outcome was explained."""
    causes: dict[int, Counter[str]] = defaultdict(Counter)
    for end in content.attempts:
        job = content.jobs.get(end.job)
        started = _recorded(end, runs, memory)
        if end.outcome == "ok":
            if job is not None and end.attempt != job.attempt:
                verdict.violations["stale"].append(
                    f"job {end.job}: attempt {end.attempt} is recorded as ok, "
                    f"but attempt {job.attempt} came after it"
                )
            continue
        if not started and end.outcome == "released":
            verdict.explained["never started"] += 1
            continue
        cause = _explain(end, started, [*faults.get(end.worker, ()), *stalls])
        if cause is None:
            verdict.violations["rerun"].append(f"nothing explains {end} with {started}")
            continue
        causes[end.job][end.outcome] += 1
        if cause == "told to fail":
            continue
        verdict.explained[cause.what] += 1
        if any(run.ended is not None and run.ended > end.ended for run in started):
            verdict.late_finishes += 1
        for again in runs.get((end.job, end.attempt + 1), ())[:1]:
            verdict.again_after[cause.what].append((again.started - cause.since) / SECOND)
    return causes


def _stalls(faults: Sequence[Fault], content: Content) -> list[Fault]:
    """Return the freezes that caught a worker while it held the store's lock: all are held up.

    Nobody can renew, so every worker ends its children before its lease does. The proof is that
    no edge at all was recorded for a while.
    """
    edges = sorted(at for end in content.attempts for at in (end.claimed, end.ended))
    found = []
    for fault in faults:
        if fault.what in STOPS:
            since = fault.since + SLACK
            following = bisect_right(edges, since)
            if following == len(edges) or edges[following] >= since + STALL:
                found.append(fault._replace(what="stall"))
    return found


def _starved(entries: Iterable[Entry]) -> list[Fault]:
    """Return the times in which the witness could not write, so nobody could be sure to."""
    return [
        Fault("starved", 0, 0, entry.data["since"], entry.at + AFTER)
        for entry in entries
        if entry.what == "starved"
    ]


def _explain(end: AttemptEnd, started: Sequence[Run], faults: Sequence[Fault]) -> Any:
    """Return the fault that explains why this attempt did not end its job, or None."""
    if end.outcome == "error":
        return "told to fail" if any(run.told_to_fail for run in started) else None
    for fault in faults:
        if fault.since - SLACK > end.ended or fault.until + SLACK < end.claimed:
            continue
        hit = any(fault.pid in run.holders for run in started)
        if fault.what in WHOLE_WORKER or not started or hit:
            return fault
    return None


def _judge_ends(
    verdict: Verdict, content: Content, causes: Mapping[int, Mapping[str, int]]
) -> None:
    """condemned: nobody cancels here, and only enough explained deaths may fail a job."""
    for job, end in content.jobs.items():
        why = causes.get(job, {})
        poisoned = why.get("crashed", 0) >= CRASHES_TO_FAIL or why.get("lost", 0) >= LOSSES_TO_FAIL
        if end.state == "cancelled" or (end.state == "failed" and not poisoned):
            verdict.violations["condemned"].append(f"job {job} is {end.state} after {dict(why)}")


def _judge_overlaps(
    verdict: Verdict,
    runs: Runs,
    content: Content,
    faults: Mapping[int, Sequence[Fault]],
    memory: Memory,
) -> None:
    """overlap: an older attempt gave a sign of life after a newer one had started."""
    ends = {(end.job, end.attempt): end for end in content.attempts}
    by_job: dict[int, list[Run]] = defaultdict(list)
    for (job, _), starts in runs.items():
        by_job[job] += starts
    for of_job in by_job.values():
        of_job.sort(key=lambda run: (run.attempt, run.started))
        for old, new in pairwise(of_job):
            if old.attempt == new.attempt or old.last_sign <= new.started:
                continue
            end = ends.get((old.job, old.attempt))
            frozen = any(
                fault.what in FREEZES and fault.since <= new.started
                for fault in faults.get(end.worker if end else 0, ())
            )
            forgotten = end is not None and old not in _recorded(end, runs, memory)
            if frozen or forgotten:
                verdict.overlaps_explained += 1
            else:
                verdict.violations["overlap"].append(f"{old} ran beside {new}")


def _judge_processes(
    verdict: Verdict, entries: Iterable[Entry], content: Content, faults: Sequence[Fault]
) -> None:
    """survivor, exit: what the nemesis saw with its own eyes."""
    for entry in entries:
        if entry.what == "exit" and _had_no_store(entry, content, faults):
            verdict.outages += 1
        elif entry.what in {"survivor", "exit"}:
            verdict.violations[entry.what].append(str(dict(entry.data)))


def _had_no_store(entry: Entry, content: Content, faults: Sequence[Fault]) -> bool:
    """Whether a worker ended as it must that cannot reach the store to begin, or to say goodbye.

    Once at work it waits for the store, however long; only one that was asked to end does not.
    """
    told = entry.data
    if told.get("code") != Unavailable.exit_code or "since" not in told:
        return False
    if told["worker"] not in content.workers:
        excuses = OUTAGES | {"starved"}
    elif told["asked"]:
        excuses = CRASHES | {"starved"}
    else:
        return False
    return any(
        fault.what in excuses and fault.since <= entry.at and fault.until + SLACK >= told["since"]
        for fault in faults
    )
