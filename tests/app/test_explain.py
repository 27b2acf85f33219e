"""`explain`: why a job is where it is, in words that say what to do."""

from __future__ import annotations

import re
from typing import TypeAlias

import pytest

from tests.app.helpers import a_worker, claim, work
from workhorse import Handle, Kind, Snooze, Workhorse
from workhorse.domain.events import Output, OutputLine
from workhorse.domain.outcome import AttemptOutcome, Failed, Failure, Lost, Released
from workhorse.domain.transitions import settle
from workhorse.explain import error_line
from workhorse.instants import when
from workhorse.store.protocol import Settled

Noop: TypeAlias = Kind[[], None]

AT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


@pytest.fixture
def noop(app: Workhorse) -> Noop:
    @app.job(name="noop")
    def noop() -> None:
        """Do nothing."""

    return noop


NOBODY = r"No worker is alive: start one with `workhorse worker`\."


def says(handle: Handle[object], *lines: str) -> None:
    """Check that a job is explained by just these lines, each a pattern."""
    told = handle.explain().split("\n")
    assert len(told) == len(lines), told
    for line, pattern in zip(told, lines, strict=True):
        assert re.fullmatch(pattern, line), (line, pattern)


def test_a_scheduled_job(app: Workhorse, noop: Noop) -> None:
    """Until when, in UTC, and what will be in its way then."""
    handle = noop.using(run_at=1_999_999_999_000).enqueue()
    until = r"Job 1 \(noop\) is scheduled until 2033-05-18T03:33:19Z\."
    says(handle, until, NOBODY)
    a_worker(app)
    says(handle, until)
    app.store.pause("default")
    says(handle, until, r"Queue 'default' is paused: resume it, and its jobs are claimed again\.")


def ends(app: Workhorse, job_id: int, *outcomes: AttemptOutcome) -> None:
    """Run one attempt of a job for each outcome, and let it end so."""
    for outcome in outcomes:
        claimed = claim(app, job_id)
        worker = app.store.workers()[0].id
        settled = Settled(job_id, claimed.attempt, settle(claimed, outcome))
        assert not app.store.turn(worker, [settled], [], None).stale


A_FAILURE = Failed(Failure("ValueError", "the disk\n is on fire"))


def test_a_job_that_waits_for_its_next_attempt(app: Workhorse, noop: Noop) -> None:
    """Until when, why, what is used of its budget, and what became of each attempt."""
    handle = noop.enqueue()
    ends(app, handle.id, Lost(), A_FAILURE)
    says(
        handle,
        rf"Job 1 \(noop\) is scheduled until {AT} "
        r"\(attempt 2 ended: error; 1 of 5 attempts used\)\.",
        "Attempts:",
        r"  1\. lost after \d+\.\d{3} s: Lost: the worker's lease ran out",
        r"  2\. error after \d+\.\d{3} s: ValueError: the disk is on fire",
    )


def test_a_failed_job(app: Workhorse, noop: Noop) -> None:
    """When, why, that its budget is spent, and what can be done."""
    handle = noop.using(max_attempts=2).enqueue()
    ends(app, handle.id, A_FAILURE, A_FAILURE)
    says(
        handle,
        rf"Job 1 \(noop\) failed at {AT}: ValueError: the disk is on fire "
        r"\(2 of 2 attempts used\)\.",
        "Requeue it once the cause is mended.",
        "Attempts:",
        r"  1\. error after .+",
        r"  2\. error after .+",
    )


def test_a_snoozed_job(app: Workhorse) -> None:
    """A snooze is told with its reason, and that nothing of the budget is used."""

    @app.job
    def wait() -> None:
        raise Snooze(3600, "not open yet")

    handle = wait.enqueue()
    work(app, handle.id)
    says(
        handle,
        rf"Job 1 \(wait\) is scheduled until {AT} "
        r"\(attempt 1 ended: snoozed; 0 of 5 attempts used\)\.",
        NOBODY,
        "Attempts:",
        r"  1\. snoozed after \d+\.\d{3} s: Snooze: not open yet",
    )


def test_a_blocked_job(app: Workhorse, noop: Noop) -> None:
    """Which jobs it waits for, and where they stand; a long list is cut."""
    handles = [noop.enqueue() for _ in range(12)]
    claim(app, handles[0].id)
    last = noop.using(after=handles[:2]).enqueue()
    says(
        last,
        r"Job 13 \(noop\) is blocked: it waits for job 1 \(running\), 2 \(available\) to succeed\.",
    )
    assert "10 (available), 2 more to succeed" in noop.using(after=handles).enqueue().explain()


def test_a_blocked_job_that_waits_for_its_time(app: Workhorse, noop: Noop) -> None:
    """Those before it have succeeded, and it is not due: no job is in its way."""
    first = noop.enqueue()
    handle = noop.using(after=first, run_at=1_999_999_999_000).enqueue()
    work(app, first.id)
    a_worker(app)
    says(
        handle,
        r"Job 2 \(noop\) is blocked until 2033-05-18T03:33:19Z: "
        r"what it waited for has succeeded\.",
    )


def test_a_worker_whose_lease_has_run_out_is_not_counted_on(app: Workhorse, noop: Noop) -> None:
    """Nobody has found it lost yet: what it runs is to be given back, what waits has no worker."""
    waiting, running = noop.enqueue(), noop.enqueue()
    silent = a_worker(app)
    assert app.store.claim_job(silent, running.id) is not None
    app.store.renew(silent, 0)
    says(
        waiting,
        r"Job 1 \(noop\) is available, and waits to be claimed\.",
        NOBODY,
    )
    on = rf"Job 2 \(noop\) is running: attempt 1, since {AT}, on worker {silent}\."
    lapsed = rf"Worker {silent} has let its lease run out: another worker will give the job back\."
    says(running, on, lapsed, NOBODY)
    a_worker(app)
    says(running, on, lapsed)
    assert "1 worker can run it: 0 of 2 slots are in use." in waiting.explain()


def test_an_available_job_that_nobody_can_run(app: Workhorse, noop: Noop) -> None:
    """No worker, none for its queue, none that knows its kind: each says what to do."""
    handle = noop.enqueue()
    waits = r"Job 1 \(noop\) is available, and waits to be claimed\."
    says(handle, waits, NOBODY)
    a_worker(app, queues=("other",))
    start = r"start one with `workhorse worker --queues default`\."
    says(handle, waits, rf"No living worker serves queue 'default': {start}")
    a_worker(app, kinds=("other",))
    says(
        handle,
        waits,
        r"No living worker of queue 'default' knows kind 'noop': deploy its code\.",
    )


def test_a_job_of_a_queue_that_no_worker_serves(app: Workhorse, noop: Noop) -> None:
    """The command that is named starts a worker which does, be there others or none."""
    handle = noop.using(queue="letters").enqueue()
    waits = r"Job 1 \(noop\) is available, and waits to be claimed\."
    start = r"start one with `workhorse worker --queues letters`\."
    says(handle, waits, rf"No worker is alive: {start}")
    a_worker(app)
    says(handle, waits, rf"No living worker serves queue 'letters': {start}")


def test_an_available_job_that_waits_for_its_turn(app: Workhorse, noop: Noop) -> None:
    """A paused queue, the jobs beside it, and how many slots there are."""
    handle = noop.enqueue()
    noop.enqueue()
    running = noop.enqueue()
    claim(app, running.id)
    app.store.pause("default")
    says(
        handle,
        r"Job 1 \(noop\) is available, and waits to be claimed\.",
        r"Queue 'default' is paused: resume it, and its jobs are claimed again\.",
        r"Queue 'default' has 1 other job available\.",
        r"1 worker can run it: 1 of 2 slots are in use\.",
    )


def test_a_suspect_says_that_it_runs_alone(app: Workhorse, noop: Noop) -> None:
    """A job whose worker was lost twice is run by itself, and says so."""
    handle = noop.enqueue()
    ends(app, handle.id, Lost(), Lost(), Released("the worker is draining"))
    assert "It runs alone in its process" in handle.explain()


def test_a_running_job(app: Workhorse, noop: Noop) -> None:
    """Since when, on which worker, how far, and whether it was told to stop."""
    handle = noop.enqueue()
    claim(app, handle.id)
    line = rf"Job 1 \(noop\) is running: attempt 1, since {AT}, on worker 1"
    says(handle, rf"{line}\.")
    progress = OutputLine(1, 1, Output.PROGRESS, '{"percent":40,"message":"copying"}')
    app.store.turn(1, [], [progress], None)
    handle.cancel()
    says(
        handle,
        rf"{line}, 40 % copying\.",
        r"It was asked to stop, and ends as soon as its worker has ended it\.",
    )


def test_a_job_that_succeeded(app: Workhorse, noop: Noop) -> None:
    """When, and in which attempt."""
    handle = noop.enqueue()
    work(app, handle.id)
    says(
        handle,
        rf"Job 1 \(noop\) succeeded at {AT}, in attempt 1\.",
        "Attempts:",
        r"  1\. ok after \d+\.\d{3} s",
    )


def test_a_job_that_was_cancelled(noop: Noop) -> None:
    """When, and why."""
    handle = noop.enqueue()
    handle.cancel()
    says(handle, rf"Job 1 \(noop\) was cancelled at {AT}.*\.")


def test_an_error_is_one_line_of_bounded_length() -> None:
    """However long and many-lined the message."""
    assert error_line({"type": "E", "message": "a\n\tb"}) == "E: a b"
    assert len(error_line({"type": "E", "message": "x" * 1000})) == 200
    assert error_line({"type": "E", "message": ""}) == error_line({"type": "E"}) == "E"
    assert error_line({}) == "error"


def test_an_instant_beyond_the_calendar_is_told_all_the_same() -> None:
    """Nothing that a store may hold can keep a job from being explained."""
    assert when(0) == "1970-01-01T00:00:00Z"
    assert when(None) == "an unknown time"
    assert when(2**62) == f"{2**62} ms after 1970"
