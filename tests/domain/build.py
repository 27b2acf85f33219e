"""Jobs and outcomes to try the rules on."""

from __future__ import annotations

from hypothesis import strategies as st

from workhorse.domain.job import Claimed
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
from workhorse.domain.retry import DEFAULT_BACKOFF, MAX_DELAY, Backoff


def a_job(
    *,
    attempt: int = 1,
    max_attempts: int = 5,
    failures: int = 0,
    crashes: int = 0,
    lost: int = 0,
    solo: bool = False,
    cancel_requested: bool = False,
    backoff: Backoff = DEFAULT_BACKOFF,
) -> Claimed:
    """Return one running attempt, as a worker holds it."""
    return Claimed(
        id=7,
        attempt=attempt,
        kind="resize",
        args="{}",
        queue="default",
        priority=0,
        timeout=60.0,
        max_attempts=max_attempts,
        backoff=backoff,
        failures=failures,
        crashes=crashes,
        lost=lost,
        solo=solo,
        cancel_requested=cancel_requested,
        enqueued_at=0,
        started_at=0,
    )


A_FAILURE = Failure("ValueError", "no", "Traceback …")

SAMPLES: dict[str, AttemptOutcome] = {
    "returned": Completed('{"a":1}'),
    "returned nothing": Completed(),
    "raised": Failed(A_FAILURE),
    "raised what is not wanted again": Failed(A_FAILURE, permanent=True),
    "ran out of memory": Failed(A_FAILURE, out_of_memory=True),
    "rejected": Rejected("no such environment"),
    "snoozed": Snoozed(30.0),
    "snoozed for a reason": Snoozed(30.0, "busy"),
    "timed out": TimedOut(60.0),
    "cancelled": Cancelled(),
    "released": Released("the worker is draining"),
    "released as a suspect": Released("its process died", solo=True),
    "released by a death": Released("its process died", gone=True),
    "crashed": Crashed(exit_signal="SIGKILL"),
    "crashed with a code": Crashed(exit_code=3),
    "killed for its memory": Crashed(exit_signal="SIGKILL", out_of_memory=True),
    "lost": Lost(),
}
"""One of each way an attempt can end, and of each variant that makes a difference."""

seconds = st.floats(allow_nan=True, allow_infinity=True) | st.floats(0, 2 * MAX_DELAY)
words = st.text(max_size=20)
failures = st.builds(Failure, words, words, st.none() | words)

outcomes: st.SearchStrategy[AttemptOutcome] = st.one_of(
    st.builds(Completed, st.none() | words),
    st.builds(Failed, failures, st.booleans(), st.booleans()),
    st.builds(Rejected, words),
    st.builds(Snoozed, seconds, st.none() | words),
    st.builds(TimedOut, st.floats(0, MAX_DELAY)),
    st.builds(Cancelled, words),
    st.builds(Released, words, st.booleans(), st.booleans()),
    st.builds(Crashed, st.none() | st.integers(0, 255), st.none() | words, st.booleans()),
    st.builds(Lost, words),
)

backoffs = st.builds(
    Backoff,
    st.floats(0, 1e300) | st.integers(0, 10**400),
    st.floats(1, 1e300) | st.integers(1, 10**400),
    st.floats(0, MAX_DELAY),
    st.floats(0, 1),
)

jobs = st.builds(
    a_job,
    attempt=st.integers(1, 2**31),
    max_attempts=st.integers(1, 2**31 - 1),
    failures=st.integers(0, 2**31),
    crashes=st.integers(0, 5),
    lost=st.integers(0, 2000),
    solo=st.booleans(),
    cancel_requested=st.booleans(),
    backoff=backoffs,
)
