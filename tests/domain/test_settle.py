"""`settle`: from the way an attempt ended to the edge its job takes."""

from __future__ import annotations

import json
import math
from itertools import product
from typing import NamedTuple, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.domain.build import SAMPLES, a_job, jobs, outcomes
from workhorse.domain.job import FINAL, Claimed, Outcome, State
from workhorse.domain.outcome import (
    AttemptOutcome,
    Cancelled,
    Completed,
    Crashed,
    Failed,
    Failure,
    Lost,
    Rejected,
    Released,
    Snoozed,
    TimedOut,
)
from workhorse.domain.retry import MAX_DELAY, Backoff
from workhorse.domain.transitions import EDGES, Change, Verb, settle


class Ends(NamedTuple):
    """What docs/state-machine.md says of one way to end."""

    outcome: Outcome
    verb: Verb
    state: State
    spends: bool = False
    """Whether it costs one of the budget: then verb and state hold while the budget lasts."""


RETRIED = (Verb.RETRY, State.SCHEDULED)
TABLE = {
    "returned": Ends(Outcome.OK, Verb.COMPLETE, State.SUCCEEDED),
    "returned nothing": Ends(Outcome.OK, Verb.COMPLETE, State.SUCCEEDED),
    "raised": Ends(Outcome.ERROR, *RETRIED, spends=True),
    "raised what is not wanted again": Ends(Outcome.ERROR, Verb.FAIL, State.FAILED, spends=True),
    "ran out of memory": Ends(Outcome.OUT_OF_MEMORY, *RETRIED, spends=True),
    "rejected": Ends(Outcome.REJECTED, Verb.FAIL, State.FAILED, spends=True),
    "snoozed": Ends(Outcome.SNOOZED, Verb.SNOOZE, State.SCHEDULED),
    "snoozed for a reason": Ends(Outcome.SNOOZED, Verb.SNOOZE, State.SCHEDULED),
    "timed out": Ends(Outcome.TIMED_OUT, *RETRIED, spends=True),
    "cancelled": Ends(Outcome.CANCELLED, Verb.CANCEL, State.CANCELLED),
    "released": Ends(Outcome.RELEASED, Verb.RELEASE, State.AVAILABLE),
    "released as a suspect": Ends(Outcome.RELEASED, Verb.RELEASE, State.AVAILABLE),
    "released by a death": Ends(Outcome.RELEASED, Verb.RELEASE, State.AVAILABLE),
    "crashed": Ends(Outcome.CRASHED, *RETRIED, spends=True),
    "crashed with a code": Ends(Outcome.CRASHED, *RETRIED, spends=True),
    "killed for its memory": Ends(Outcome.OUT_OF_MEMORY, *RETRIED, spends=True),
    "lost": Ends(Outcome.LOST, Verb.RESCUE, State.SCHEDULED),
}

BUDGETS = [
    a_job(max_attempts=budget, failures=failures, crashes=crashes, lost=lost, solo=solo)
    for budget, failures, crashes, lost, solo in product(
        range(1, 5), range(5), range(3), (0, 1, 8, 9, 10), (False, True)
    )
    if failures < budget
]
"""Every budget that matters: unused, in use, at its last; with crashes and lost leases."""


def test_every_way_to_end_is_tried_here() -> None:
    """A new outcome is added to the samples, or this fails."""
    assert {type(outcome) for outcome in SAMPLES.values()} == set(get_args(AttemptOutcome))
    assert SAMPLES.keys() == TABLE.keys()
    reached = {ends.outcome for ends in TABLE.values()}
    assert set(Outcome) - reached == {Outcome.EXPIRED}, "nothing expires yet"


@pytest.mark.parametrize("name", SAMPLES)
def test_each_outcome_takes_its_edge_at_every_budget(name: str) -> None:
    """Outcome by outcome and budget by budget, `settle` does what the table of the docs says."""
    outcome, ends = SAMPLES[name], TABLE[name]
    for job in BUDGETS:
        change = settle(job, outcome)
        assert change.outcome is ends.outcome
        assert change.failures == int(ends.spends)
        if _condemned(job, outcome):
            assert change.state is State.FAILED
            assert change.verb in {Verb.FAIL, Verb.RESCUE}
        else:
            assert (change.verb, change.state) == (ends.verb, ends.state), job


def _condemned(job: Claimed, outcome: AttemptOutcome) -> bool:
    """Whether this is one too many: the budget spent, the third crash, the tenth lost lease."""
    if isinstance(outcome, Lost):
        return job.lost >= 9
    spends = isinstance(outcome, Failed | Rejected | TimedOut | Crashed)
    poison = isinstance(outcome, Crashed) and job.crashes >= 2
    return poison or (spends and job.failures + 1 >= job.max_attempts)


@given(job=jobs, outcome=outcomes, chance=st.floats(0, 1))
def test_no_outcome_leads_off_the_table(
    job: Claimed, outcome: AttemptOutcome, chance: float
) -> None:
    """Whatever happened to whatever job: an edge from `running`, and numbers that can be stored."""
    change = settle(job, outcome, chance=chance)
    edge = EDGES[change.verb]
    assert State.RUNNING in edge.sources
    assert change.state in edge.targets
    assert 0 <= change.delay <= 2 * MAX_DELAY
    assert change.delay == 0 or change.state is State.SCHEDULED
    assert {change.failures, change.crashes, change.lost} <= {0, 1}
    assert change.result is None or change.state is State.SUCCEEDED
    assert (change.error is None) == (
        change.verb is Verb.COMPLETE
        or (change.verb is Verb.SNOOZE and not getattr(outcome, "reason", None))
    )
    json.dumps([change.error, change.delay], allow_nan=False)


@given(budget=st.integers(1, 30), played=st.lists(outcomes, max_size=60))
def test_a_job_cannot_outlive_its_budget(budget: int, played: list[AttemptOutcome]) -> None:
    """Any sequence of ends: failures never pass the budget, three crashes or ten losses end it."""
    job, ended = a_job(max_attempts=budget), False
    for outcome in played:
        change = settle(job, outcome)
        job = _after(job, change)
        assert job.failures <= budget
        assert job.crashes <= 3
        assert job.lost <= 10
        ended = change.state in FINAL
        if ended:
            break
    if not ended:
        assert job.failures < budget
        assert job.crashes < 3
        assert job.lost < 10


def _after(job: Claimed, change: Change) -> Claimed:
    """Return the next attempt of a job, as the store would claim it."""
    return job._replace(
        attempt=job.attempt + 1,
        failures=job.failures + change.failures,
        crashes=job.crashes + change.crashes,
        lost=job.lost + change.lost,
        solo=change.solo,
    )


@pytest.mark.parametrize(
    "outcome",
    [Snoozed(1.0), Released("drain"), Lost(), Cancelled()],
    ids=lambda o: type(o).__name__,
)
def test_what_is_not_the_jobs_fault_costs_it_nothing(outcome: AttemptOutcome) -> None:
    """A snooze, a release, a lost lease and a cancel use no attempt of the budget."""
    for job in BUDGETS:
        assert settle(job, outcome).failures == 0


def test_the_last_of_the_budget_fails_the_job() -> None:
    """With `max_attempts=3` the first two failures are retried, the third ends it."""
    verbs = [
        settle(a_job(max_attempts=3, failures=failures), Failed(Failure("E", "no"))).verb
        for failures in range(3)
    ]
    assert verbs == [Verb.RETRY, Verb.RETRY, Verb.FAIL]


def test_three_crashes_are_poison_whatever_the_budget() -> None:
    """A job whose process died three times with it alone inside fails; until then it runs solo."""
    crash = Crashed(exit_signal="SIGSEGV")
    changes = [settle(a_job(max_attempts=100, crashes=n), crash) for n in range(3)]
    assert [change.verb for change in changes] == [Verb.RETRY, Verb.RETRY, Verb.FAIL]
    assert [change.crashes for change in changes] == [1, 1, 1]
    assert changes[0].solo
    assert changes[0].error == {
        "type": "Crashed",
        "message": "The process running this job ended by SIGSEGV.",
        "exit_signal": "SIGSEGV",
    }


def test_a_crash_with_an_exit_code_says_which() -> None:
    """The exit code of a dead process is kept."""
    error = settle(a_job(), Crashed(exit_code=3)).error
    assert error is not None
    assert error["exit_code"] == 3
    assert "exit code 3" in error["message"]


def test_a_lost_lease_makes_a_suspect_and_the_tenth_ends_it() -> None:
    """One lost lease changes nothing; from the second on the job runs alone; the tenth fails it."""
    changes = [settle(a_job(lost=lost, failures=4), Lost()) for lost in range(10)]
    assert [change.solo for change in changes] == [False, *[True] * 8, False]
    assert [change.state for change in changes] == [*[State.SCHEDULED] * 9, State.FAILED]
    assert all(change.verb is Verb.RESCUE for change in changes)


def test_deaths_that_tell_nothing_make_a_suspect() -> None:
    """From the second on the job runs alone; no number of them alone fails it."""
    changes = [settle(a_job(lost=lost), Released("?", gone=True)) for lost in range(10)]
    assert [(change.lost, change.solo) for change in changes] == [
        (1, False),
        (1, True),
        *[(0, True)] * 8,
    ]


def test_deaths_that_tell_nothing_count_among_the_lost_leases() -> None:
    """Two at most: a job that was lost with its worker eight times more fails."""
    job, told = a_job(), []
    for outcome in [Released("?", gone=True)] * 5 + [Lost()] * 8:
        change = settle(job, outcome)
        job = _after(job, change)
        told.append((change.state, job.lost))
    assert told[:5] == [(State.AVAILABLE, lost) for lost in (1, 2, 2, 2, 2)]
    assert told[5:12] == [(State.SCHEDULED, lost) for lost in range(3, 10)]
    assert told[12:] == [(State.FAILED, 10)]


def test_the_jobs_of_a_lost_worker_do_not_all_come_back_at_once() -> None:
    """A rescue is spread over five seconds by chance, and waits longer each time, to 5 minutes."""
    first = [settle(a_job(), Lost(), chance=chance / 10).delay for chance in range(11)]
    assert first == pytest.approx([chance / 2 for chance in range(11)])
    waits = [settle(a_job(lost=lost), Lost(), chance=0.0).delay for lost in range(9)]
    assert waits == [0, 5, 15, 35, 75, 155, 300, 300, 300]


def test_a_rescued_job_with_no_wait_is_available() -> None:
    """A job that need not wait is available at once."""
    assert settle(a_job(), Lost(), chance=0.0).state is State.AVAILABLE


def test_a_lost_job_that_was_to_be_cancelled_is_cancelled() -> None:
    """Its worker is gone, so nothing has to be ended any more."""
    change = settle(a_job(cancel_requested=True), Lost())
    assert (change.verb, change.state) == (Verb.RESCUE, State.CANCELLED)


@pytest.mark.parametrize(
    ("asked", "kept"), [(30.0, 30.0), (-5.0, 0.0), (math.inf, MAX_DELAY), (math.nan, 0.0)]
)
def test_a_snooze_waits_as_long_as_it_was_asked(asked: float, kept: float) -> None:
    """A snooze is stored as an instant, so it is never negative and at most a hundred years."""
    assert settle(a_job(), Snoozed(asked)).delay == kept


def test_a_suspect_that_ends_by_itself_is_none_any_more() -> None:
    """A job that ran alone and raised is retried among the others; a release keeps it alone."""
    suspect = a_job(solo=True)
    assert not settle(suspect, Failed(Failure("E", "no"))).solo
    assert not settle(suspect, Snoozed(1.0)).solo
    assert settle(suspect, Released("drain")).solo
    assert settle(suspect, Lost()).solo
    assert settle(a_job(), Released("its neighbour", solo=True)).solo


def test_a_retry_waits_by_the_jobs_own_backoff() -> None:
    """The wait is that of the backoff stored with the job, after so many failures."""
    job = a_job(failures=2, backoff=Backoff(base=3, factor=2, cap=1000, jitter=0))
    assert settle(job, TimedOut(60.0)).delay == 12.0


def test_what_is_kept_of_an_end_is_in_plain_words() -> None:
    """The reason of each end can be read later."""
    told = {name: settle(a_job(), outcome).error for name, outcome in SAMPLES.items()}
    assert told["returned"] is None
    assert told["snoozed"] is None
    assert told["raised"] == {"type": "ValueError", "message": "no", "traceback": "Traceback …"}
    assert told["rejected"] == {"type": "Reject", "message": "no such environment"}
    assert told["snoozed for a reason"] == {"type": "Snooze", "message": "busy"}
    assert told["timed out"] == {
        "type": "TimedOut",
        "message": "The attempt was over its limit of 60 s.",
    }
    assert told["cancelled"] == {"type": "Cancelled", "message": "cancelled on request"}
    assert told["released"] == {"type": "Released", "message": "the worker is draining"}
    assert told["lost"] == {"type": "Lost", "message": "the worker's lease ran out"}


def test_the_result_is_handed_on_as_it_is() -> None:
    """A result is stored as the executor encoded it; None is no result."""
    assert settle(a_job(), Completed('{"a":1}')).result == '{"a":1}'
    assert settle(a_job(), Completed()).result is None
    assert settle(a_job(), Rejected("no")).result is None
