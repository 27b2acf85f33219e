"""Retry and backoff: how often, how long, and which errors."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.domain.build import backoffs
from workhorse.domain.errors import InvalidJob
from workhorse.domain.retry import (
    DEFAULT_BACKOFF,
    MAX_DELAY,
    Backoff,
    Retry,
    backoff_from_row,
    backoff_to_row,
)

MIDDLE = 0.5
"""The chance that falls in the middle of the jitter."""


def test_the_default_waits() -> None:
    """2 s, 8 s, 32 s, … and never more than 6 hours."""
    waits = [DEFAULT_BACKOFF.delay(n, MIDDLE) for n in range(1, 10)]
    assert waits == [2, 8, 32, 128, 512, 2048, 8192, 21600, 21600]


@given(backoff=backoffs, failures=st.integers(1, 10**12), chance=st.floats(0, 1))
@example(backoff=Backoff(base=1, factor=1e300), failures=2**31, chance=0.5)
@example(backoff=Backoff(base=10**400, factor=10**400), failures=2**31, chance=0.5)
@example(backoff=Backoff(base=0, factor=10**400), failures=2**31, chance=0.5)
def test_a_wait_is_within_cap_and_jitter(backoff: Backoff, failures: int, chance: float) -> None:
    """However many failures: a finite wait, never negative, over the cap by the jitter at most."""
    wait = backoff.delay(failures, chance)
    assert 0 <= wait <= backoff.cap * (1 + backoff.jitter) * (1 + 1e-9)


@given(backoff=backoffs, failures=st.integers(1, 10_000))
def test_waits_only_grow(backoff: Backoff, failures: int) -> None:
    """A later failure never waits shorter, at the same chance."""
    assert backoff.delay(failures, MIDDLE) <= backoff.delay(failures + 1, MIDDLE)


def test_a_slow_factor_goes_on_growing() -> None:
    """The wait after the n-th failure is base × factor^(n-1) at any n, up to the cap."""
    slow = Backoff(base=1, factor=1.01, cap=1e9, jitter=0)
    assert slow.delay(1001, MIDDLE) == pytest.approx(1.01**1000)


@given(st.floats(0, 1), st.floats(0, 1))
def test_chance_places_the_wait_within_the_jitter(jitter: float, chance: float) -> None:
    """Chance 0 is the shortest wait, 1 the longest, and all between is between."""
    backoff = Backoff(base=100, factor=1, jitter=jitter)
    low, high = backoff.delay(1, 0.0), backoff.delay(1, 1.0)
    assert low == pytest.approx(100 * (1 - jitter))
    assert high == pytest.approx(100 * (1 + jitter))
    assert low <= backoff.delay(1, chance) <= high


@pytest.mark.parametrize(
    "odd",
    [
        {"base": -1.0},
        {"base": math.inf},
        {"base": math.nan},
        {"factor": 0.5},
        {"factor": math.inf},
        {"cap": -1.0},
        {"cap": math.inf},
        {"cap": MAX_DELAY * 1.01},
        {"jitter": -0.1},
        {"jitter": 1.1},
        {"jitter": math.nan},
        {"base": "2"},
        {"cap": None},
    ],
    ids=str,
)
def test_a_backoff_that_makes_no_sense_is_refused(odd: dict[str, Any]) -> None:
    """A wait could be negative or without end: refused where it is written, by both doors."""
    with pytest.raises(InvalidJob, match="not a backoff"):
        Backoff(**odd)
    with pytest.raises(InvalidJob, match="not a backoff"):
        Retry(max_attempts=3, **odd)


@pytest.mark.parametrize(
    "budget", [0, -1, 2**31, pytest.param(10**5000, id="5,001 digits"), True, 2.0, "3"]
)
def test_a_budget_is_an_integer_from_1_on(budget: int) -> None:
    """A budget that could never be counted is refused."""
    with pytest.raises(InvalidJob, match="max_attempts"):
        Retry(max_attempts=budget)


def test_only_the_errors_wanted_are_worth_another_attempt() -> None:
    """`on` says which, `never` says which not, and `never` wins."""
    retry = Retry(on=(OSError,), never=(PermissionError,))
    assert retry.wants(ConnectionResetError())
    assert not retry.wants(PermissionError())
    assert not retry.wants(ValueError())
    assert Retry().wants(ValueError())
    assert not Retry().wants(KeyboardInterrupt())


@pytest.mark.parametrize("given", [[OSError], {OSError}, OSError], ids=["list", "set", "one"])
def test_the_errors_of_a_policy_may_be_written_as_anyone_would(given: Any) -> None:
    """What `isinstance` would choke on when an attempt has failed is made right, or refused."""
    assert Retry(on=given) == Retry(on=(OSError,))
    assert not Retry(never=given).wants(OSError())
    union: Any = OSError | ValueError
    assert Retry(never=union).never == (OSError, ValueError)


@pytest.mark.parametrize("odd", ["ValueError", ["ValueError"], (int,), None, (ValueError("x"),)])
@pytest.mark.parametrize("option", ["on", "never"])
def test_what_is_no_type_of_exception_is_refused(option: str, odd: Any) -> None:
    """Where it is written: not by the first attempt that fails."""
    with pytest.raises(InvalidJob, match=f"{option}=.* is no type of exception"):
        Retry(**{option: odd})


def test_what_is_too_large_to_count_is_the_longest_wait() -> None:
    """However many failures: the cap, and nothing for a backoff that never waits."""
    assert Backoff(base=1, factor=10, cap=60, jitter=0).delay(1000, 0.5) == 60
    assert Backoff(base=0, factor=10, cap=60, jitter=0).delay(1000, 0.5) == 0


@given(backoffs)
def test_a_backoff_survives_its_row(backoff: Backoff) -> None:
    """What is stored of a backoff gives it back; the default one takes no room."""
    assert backoff_from_row(backoff_to_row(backoff)) == backoff
    assert backoff_to_row(Backoff()) is None
