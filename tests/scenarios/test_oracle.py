"""The oracle is put to the test itself: each rule, against a run doctored to break it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.scenarios.ledger import Entry, Ledger
from tests.scenarios.oracle import SECOND, AttemptEnd, Content, JobEnd, Verdict, judge

CHILD, OTHER_CHILD, SUPERVISOR, OTHER = 11, 12, 10, 20


class Story:
    """An honest run of three jobs, one entry a second, which a test then doctors.

    Job 1 runs once. Job 2's child is killed, and it runs again elsewhere. Job 3's whole worker
    is frozen while it runs: attempt 2 ends it, then attempt 1 wakes and its write is refused.
    """

    def __init__(self) -> None:
        lines: list[tuple[float, str, dict[str, Any]]] = [
            (0, "ack", {"jobs": [1, 2, 3]}),
            (1, "start", {"job": 1, "attempt": 1, "holders": [CHILD, SUPERVISOR]}),
            (2, "end", {"job": 1, "attempt": 1}),
            (3, "start", {"job": 2, "attempt": 1, "holders": [CHILD, SUPERVISOR]}),
            (4, "fault", {"n": 1, "fault": "kill_child", "pid": CHILD, "worker": SUPERVISOR}),
            (5, "fault_over", {"n": 1}),
            (6, "start", {"job": 2, "attempt": 2, "holders": [21, OTHER]}),
            (7, "end", {"job": 2, "attempt": 2, "pid": 21}),
            (8, "start", {"job": 3, "attempt": 1, "holders": [OTHER_CHILD, SUPERVISOR]}),
            (9, "fault", {"n": 2, "fault": "stop_tree", "pid": SUPERVISOR, "worker": SUPERVISOR}),
            (15, "start", {"job": 3, "attempt": 2, "holders": [21, OTHER]}),
            (16, "end", {"job": 3, "attempt": 2}),
            (17, "fault_over", {"n": 2}),
            (18, "end", {"job": 3, "attempt": 1}),
        ]
        self.entries = [Entry(int(at * SECOND), what, data) for at, what, data in lines]
        self.content = Content(
            jobs={n: JobEnd("succeeded", a, a) for n, a in ((1, 1), (2, 2), (3, 2))},
            attempts=[
                _end(1, 1, SUPERVISOR, 1, 2, "ok"),
                _end(2, 1, SUPERVISOR, 3, 4.5, "released"),
                _end(2, 2, OTHER, 6, 7, "ok"),
                _end(3, 1, SUPERVISOR, 8, 13, "lost"),
                _end(3, 2, OTHER, 15, 16, "ok"),
            ],
            completes={1: [1], 2: [2], 3: [2]},
        )
        self.rejected = 1

    def without(self, *whats: str, **data: Any) -> None:
        """Take the entries of these names, that carry these facts, out of the ledger."""
        self.entries = [
            e
            for e in self.entries
            if e.what not in whats or any(e.data.get(k) != v for k, v in data.items())
        ]

    def add(self, at: float, what: str, **data: Any) -> None:
        """Put an entry into the ledger."""
        self.entries = sorted(
            [*self.entries, Entry(int(at * SECOND), what, data)], key=lambda e: e.at
        )

    def job(self, number: int, end: JobEnd) -> None:
        """Let the store say something else of a job."""
        self.content = replace(self.content, jobs={**self.content.jobs, number: end})

    def attempt(self, end: AttemptEnd) -> None:
        """Let the store say something else of an attempt, or tell of one more."""
        rest = [a for a in self.content.attempts if (a.job, a.attempt) != (end.job, end.attempt)]
        self.content = replace(self.content, attempts=[*rest, end])

    def judge(self) -> Verdict:
        return judge(self.entries, self.content, rejected=self.rejected)

    def broken(self) -> set[str]:
        """Return the names of the rules that were broken."""
        return {rule for rule, found in self.judge().violations.items() if found}


def _end(  # noqa: PLR0917 - a table reads best without names
    job: int, attempt: int, worker: int, claimed: float, ended: float, outcome: str
) -> AttemptEnd:
    return AttemptEnd(job, attempt, worker, int(claimed * SECOND), int(ended * SECOND), outcome)


@pytest.fixture
def story() -> Story:
    return Story()


def test_an_honest_run_is_acquitted(story: Story) -> None:
    """Kills and freezes that the system survived are no violations, and are all explained."""
    verdict = story.judge()
    assert verdict.ok, verdict.violations
    assert verdict.explained == {"kill_child": 1, "stop_tree": 1}
    assert (verdict.overlaps_explained, verdict.late_finishes) == (1, 1)
    assert verdict.again_after == {"kill_child": [2.0], "stop_tree": [6.0]}


def test_a_lost_job_is_seen(story: Story) -> None:
    """A job that was acknowledged and is in no table is lost."""
    story.add(0.5, "ack", jobs=[4])
    assert story.broken() == {"lost"}


@pytest.mark.parametrize("state", ["available", "running", "scheduled", "blocked"])
def test_a_stuck_job_is_seen(story: Story, state: str) -> None:
    """A job that is not final in the end is stuck."""
    story.job(1, JobEnd(state, 1))
    assert story.broken() == {"stuck"}


def test_a_second_completion_is_seen(story: Story) -> None:
    """Two complete events of one job mean that a stale one was accepted."""
    story.content = replace(story.content, completes={1: [1], 2: [2], 3: [2, 1]})
    assert story.broken() == {"stale"}


def test_a_stale_result_is_seen(story: Story) -> None:
    """A result made by another attempt than the last was written by a stale one."""
    story.job(3, JobEnd("succeeded", 2, 1))
    assert story.broken() == {"stale"}


def test_an_attempt_that_succeeded_before_the_last_is_seen(story: Story) -> None:
    """An attempt may be recorded as ok only if it is its job's last."""
    story.attempt(_end(2, 1, SUPERVISOR, 3, 4.5, "ok"))
    assert story.broken() == {"stale"}


def test_a_success_nobody_earned_is_seen(story: Story) -> None:
    """A job is not done because the store says so: its handler must have finished."""
    story.without("end", job=1)
    assert story.broken() == {"unproven"}


def test_a_rerun_without_a_fault_is_seen(story: Story) -> None:
    """An interrupted attempt with no fault at all is a false rescue."""
    story.without("fault", "fault_over", n=1)
    assert story.broken() == {"rerun"}


def test_a_fault_on_a_neighbour_explains_nothing(story: Story) -> None:
    """The death of another child does not explain the re-run of this child's job."""
    story.without("fault", n=1)
    story.add(4, "fault", n=1, fault="kill_child", pid=OTHER_CHILD, worker=SUPERVISOR)
    assert story.broken() == {"rerun"}


def test_a_fault_on_another_worker_explains_nothing(story: Story) -> None:
    """The death of one supervisor does not explain the re-run of another's job."""
    story.without("fault", n=1)
    story.add(4, "fault", n=1, fault="kill_supervisor", pid=OTHER, worker=OTHER)
    assert story.broken() == {"rerun"}


@pytest.mark.parametrize("at", [1.0, 4.9])
def test_a_fault_at_another_time_explains_nothing(story: Story, at: float) -> None:
    """Neither a fault that was over before the claim, nor one after the end, explains it."""
    story.without("fault", "fault_over", n=1)
    story.add(at, "fault", n=1, fault="kill_child", pid=CHILD, worker=SUPERVISOR)
    story.add(at + 0.1, "fault_over", n=1)
    assert story.broken() == {"rerun"}


def test_a_claim_that_never_started_is_explained_by_its_worker(story: Story) -> None:
    """Where no handler started, no child is known: any fault on its worker will do."""
    story.without("start", job=2, attempt=1)
    assert story.broken() == set()


def test_an_error_the_handler_did_not_raise_is_seen(story: Story) -> None:
    """Only a handler that said it would fail may have failed."""
    story.attempt(_end(2, 1, SUPERVISOR, 3, 4.5, "error"))
    assert story.broken() == {"rerun"}
    story.add(4.4, "fail", job=2, attempt=1)
    assert story.broken() == set()


def test_a_job_failed_for_nothing_is_seen(story: Story) -> None:
    """One lost lease does not condemn a job."""
    story.job(3, JobEnd("failed", 2))
    story.without("start", "end", job=3, attempt=2)
    story.content = replace(story.content, completes={1: [1], 2: [2]})
    story.attempt(_end(3, 2, SUPERVISOR, 15, 16, "lost"))
    assert story.broken() == {"condemned"}


def test_a_cancelled_job_is_seen(story: Story) -> None:
    """Nobody cancelled anything."""
    story.job(1, JobEnd("cancelled", 1))
    assert story.broken() == {"condemned"}


def test_two_attempts_at_once_are_seen(story: Story) -> None:
    """A freeze of the supervisor alone is no excuse for an old attempt that runs on."""
    story.without("fault", n=2)
    story.add(9, "fault", n=2, fault="stop_supervisor", pid=SUPERVISOR, worker=SUPERVISOR)
    assert story.broken() == {"overlap"}


def test_one_attempt_started_twice_is_seen(story: Story) -> None:
    """(job, attempt) is a fence: handed out twice it protects nothing."""
    story.add(6.5, "start", job=2, attempt=2, holders=[CHILD, SUPERVISOR])
    assert story.broken() == {"twice"}


@pytest.mark.parametrize("what", ["survivor", "exit"])
def test_what_the_nemesis_saw_counts(story: Story, what: str) -> None:
    """A process that lived on, or a worker that gave up, is a violation by itself."""
    story.add(17.5, what, pid=CHILD)
    assert story.broken() == {what}


def test_a_run_without_a_rejected_write_proves_nothing(story: Story) -> None:
    """Where no stale write was ever refused, the fence was not tested."""
    story.rejected = 0
    assert story.broken() == {"untested"}


def test_the_ledger_keeps_the_order_it_hears(tmp_path: Any) -> None:
    """What is told before `stop` is written down, in order, with growing stamps."""
    with Ledger(tmp_path) as ledger:
        for n in range(500):
            ledger.tell("start", job=n, attempt=1, holders=[])
        heard: Sequence[Entry] = ledger.stop()
    assert [entry.data["job"] for entry in heard] == list(range(500))
    assert [entry.at for entry in heard] == sorted(entry.at for entry in heard)


def test_a_worker_frozen_with_the_store_in_its_hands_holds_up_all(story: Story) -> None:
    """Nothing moves in the store after a freeze: then it explains what others lost meanwhile."""
    story.add(8.5, "ack", jobs=[4])
    story.add(8.6, "start", job=4, attempt=1, holders=[21, OTHER])
    story.add(14, "start", job=4, attempt=2, holders=[21, OTHER])
    story.add(14.5, "end", job=4, attempt=2)
    story.job(4, JobEnd("succeeded", 2, 2))
    story.attempt(_end(4, 1, OTHER, 8.5, 13, "lost"))
    story.attempt(_end(4, 2, OTHER, 14, 14.5, "ok"))
    story.content = replace(story.content, completes={**story.content.completes, 4: [2]})
    assert story.broken() == set()
    assert story.judge().explained["stall"] == 1
    story.attempt(_end(1, 1, SUPERVISOR, 1, 10, "ok"))  # but here something moved
    assert story.broken() == {"rerun"}


def test_a_starved_machine_explains_a_lease_that_was_not_renewed(story: Story) -> None:
    """Where an onlooker could not write, a worker need not have been able to: but only then."""
    story.add(1.5, "ack", jobs=[4])
    story.add(1.6, "start", job=4, attempt=1, holders=[21, OTHER])
    story.add(3.5, "start", job=4, attempt=2, holders=[21, OTHER])
    story.add(3.6, "end", job=4, attempt=2)
    story.job(4, JobEnd("succeeded", 2, 2))
    story.attempt(_end(4, 1, OTHER, 1.5, 3, "released"))
    story.attempt(_end(4, 2, OTHER, 3.4, 3.6, "ok"))
    story.content = replace(story.content, completes={**story.content.completes, 4: [2]})
    assert story.broken() == {"rerun"}
    story.add(2.9, "starved", since=int(1.7 * SECOND))
    assert story.broken() == set()


def test_what_never_started_was_not_run_again(story: Story) -> None:
    """A claimed job that is given back before it starts needs no fault to explain it."""
    story.add(1.5, "ack", jobs=[4])
    story.add(3.5, "start", job=4, attempt=2, holders=[21, OTHER])
    story.add(3.6, "end", job=4, attempt=2)
    story.job(4, JobEnd("succeeded", 2, 2))
    story.attempt(_end(4, 1, OTHER, 1.5, 2, "released"))
    story.attempt(_end(4, 2, OTHER, 3.4, 3.6, "ok"))
    story.content = replace(story.content, completes={**story.content.completes, 4: [2]})
    assert story.broken() == set()
    story.attempt(_end(4, 1, OTHER, 1.5, 2, "lost"))
    assert story.broken() == {"rerun"}


class Crash:
    """A server that crashes at 10 s of a `Story`, while job 4 runs for the first time.

    It has forgotten the claim, and another worker runs the same attempt.
    """

    def __init__(self, story: Story) -> None:
        self.story = story
        story.add(0.6, "ack", jobs=[4])
        story.add(9.9, "start", job=4, attempt=1, holders=[31, 30])
        story.add(10, "fault", n=9, fault="crash_server", pid=99, worker=0)
        story.add(10.6, "fault_over", n=9)
        self.again(10.9)
        story.add(11, "end", job=4, attempt=1, pid=31)
        story.add(11.1, "end", job=4, attempt=1, pid=21)
        story.job(4, JobEnd("succeeded", 1, 1))
        story.attempt(_end(4, 1, OTHER, 10.8, 11.2, "ok"))
        story.content = replace(story.content, completes={**story.content.completes, 4: [1]})

    def again(self, at: float) -> None:
        """Start the attempt once more."""
        self.story.add(at, "start", job=4, attempt=1, holders=[21, OTHER])


@pytest.fixture
def crash(story: Story) -> Crash:
    return Crash(story)


def test_a_claim_that_a_crash_took_along_is_handed_out_again(crash: Crash) -> None:
    """Then one attempt may start twice: its first claim was not on the server's disk yet."""
    verdict = crash.story.judge()
    assert verdict.ok, verdict.violations
    assert verdict.forgotten == 1


def test_a_success_is_not_earned_by_a_forgotten_start(crash: Crash) -> None:
    """It is the worker on record whose handler must have finished."""
    crash.story.without("end", job=4, pid=21)
    assert crash.story.broken() == {"unproven"}


@pytest.mark.parametrize(("since", "until"), [(3, 9.5), (10.91, 11.5), (10.7, 10.85)])
def test_a_crash_that_does_not_part_two_claims_explains_nothing(
    crash: Crash, since: float, until: float
) -> None:
    """It was over before the first, began after the second, or long after the first was safe."""
    crash.story.without("fault", "fault_over", n=9)
    crash.story.add(since, "fault", n=9, fault="crash_server", pid=99, worker=0)
    crash.story.add(until, "fault_over", n=9)
    assert crash.story.broken() == {"twice"}


def test_ended_connections_take_no_claim_along(crash: Crash) -> None:
    """Only a crash does."""
    crash.story.without("fault", n=9)
    crash.story.add(10, "fault", n=9, fault="end_connections", pid=0, worker=0)
    assert crash.story.broken() == {"twice"}


def test_a_crash_takes_one_claim_of_an_attempt_along(crash: Crash) -> None:
    """A third start needs a second crash."""
    crash.again(11.05)
    assert crash.story.broken() == {"twice"}


def test_two_ends_of_one_attempt_are_seen(crash: Crash) -> None:
    """However often it started, one end of it is on record."""
    story = crash.story
    again = _end(4, 1, 30, 9.9, 11, "released")
    story.content = replace(story.content, attempts=[*story.content.attempts, again])
    assert "stale" in story.broken()


def test_a_crash_is_no_reason_to_run_again(story: Story) -> None:
    """What a crash interrupts goes on when the server is back."""
    story.without("fault", "fault_over", n=1)
    story.add(4, "fault", n=1, fault="crash_server", pid=99, worker=0)
    story.add(4.3, "fault_over", n=1)
    assert story.broken() == {"rerun"}


def test_a_forgotten_start_explains_nothing_of_the_one_on_record(crash: Crash) -> None:
    """The death of who had started it first is no reason to take it from who has it now."""
    story = crash.story
    story.without("end", job=4)
    story.attempt(_end(4, 1, OTHER, 10.8, 11.2, "released"))
    story.add(12, "start", job=4, attempt=2, holders=[21, OTHER])
    story.add(12.1, "end", job=4, attempt=2, pid=21)
    story.attempt(_end(4, 2, OTHER, 11.9, 12.1, "ok"))
    story.job(4, JobEnd("succeeded", 2, 2))
    story.content = replace(story.content, completes={**story.content.completes, 4: [2]})
    story.add(10.95, "fault", n=10, fault="kill_child", pid=31, worker=OTHER)
    assert story.broken() == {"rerun"}
    story.add(10.96, "fault", n=11, fault="kill_child", pid=21, worker=OTHER)
    assert story.broken() == set()


@pytest.mark.parametrize(
    ("at", "asked", "code", "came_to_work", "broken"),
    [
        (10.2, "", 4, False, set()),
        (10.2, "deploy", 4, True, set()),
        (10.2, "", 4, True, {"exit"}),
        (10.2, "", 1, False, {"exit"}),
        (12.0, "", 4, False, {"exit"}),
        (12.0, "deploy", 4, True, {"exit"}),
    ],
)
def test_a_worker_may_end_for_want_of_a_server(  # noqa: PLR0917 - a table
    crash: Crash, at: float, asked: str, code: int, came_to_work: bool, broken: set[str]
) -> None:
    """Only at its start, or when it was asked to end; only while there is none."""
    story = crash.story
    story.content = replace(story.content, workers={40} if came_to_work else set())
    since = int((at - 0.1) * SECOND)
    story.add(at, "exit", worker=40, code=code, asked=asked, since=since)
    assert story.broken() == broken


@pytest.mark.parametrize(("asked", "broken"), [("deploy", set()), ("", {"exit"})])
def test_a_worker_may_end_when_nobody_could_write(
    crash: Crash, asked: str, broken: set[str]
) -> None:
    """A frozen process may keep the turn to write: who was asked to end does not wait for ever."""
    story = crash.story
    story.content = replace(story.content, workers={40})
    story.add(22.0, "exit", worker=40, code=4, asked=asked, since=int(12.0 * SECOND))
    story.add(23.0, "starved", since=int(12.5 * SECOND))
    assert story.broken() == broken
