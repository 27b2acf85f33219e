"""Names and priorities: what may be one."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workhorse.domain.errors import InvalidJob
from workhorse.domain.job import Priority, PriorityName, check_name, priority_number

HUGE = pytest.param(10**5000, id="5,001 digits")
SAFE = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-")


@pytest.mark.parametrize("name", ["a", "9", "build", "a.b", "A_b-c:d", "x" * 128])
def test_a_plain_name_is_taken_as_it_is(name: str) -> None:
    """1 to 128 letters, digits, '.', '_', ':' and '-'."""
    assert check_name("kind", name) == name


@pytest.mark.parametrize(
    "name",
    [
        "", " ", "a b", ".hidden", "-flag", ":", "_x", "x" * 129, "a/b", "../etc", "a\n", "a\0b",
        "é", "\N{FULLWIDTH DIGIT ONE}", "a\N{ZERO WIDTH SPACE}", "\ud800", "a;drop table jobs",
        "a'b", None, 5, b"a",
    ],
)  # fmt: skip
def test_a_name_that_could_be_something_else_is_refused(name: object) -> None:
    """A name is safe in a path, a URL, a log and a query; the error says what it may be."""
    with pytest.raises(InvalidJob, match="cannot name a queue") as refused:
        check_name("queue", name)
    assert refused.value.hint is not None
    assert "128" in refused.value.hint


@given(st.text())
def test_only_safe_characters_get_through(name: str) -> None:
    """Any text at all: it is refused, or is made of the safe characters alone."""
    try:
        check_name("kind", name)
    except InvalidJob:
        return
    assert set(name) <= SAFE
    assert name[0].isalnum()
    assert 1 <= len(name) <= 128


def test_the_named_priorities() -> None:
    """low, normal, high, critical are -10, 0, 10, 20; upper and lower case are one."""
    named = {name: priority_number(name) for name in ("low", "normal", "high", "CRITICAL")}
    assert named == {"low": -10, "normal": 0, "high": 10, "CRITICAL": 20}
    assert [p.value for p in Priority] == [-10, 0, 10, 20]
    assert get_args(PriorityName) == tuple(p.name.lower() for p in Priority)


@pytest.mark.parametrize("number", [0, -1, 7, 2**31 - 1, -(2**31), Priority.HIGH])
def test_any_integer_is_a_priority(number: int) -> None:
    """A plain integer comes out, whatever kind of integer went in."""
    assert priority_number(number) == number
    assert type(priority_number(number)) is int


@pytest.mark.parametrize("odd", ["urgent", "", "10", 2**31, -(2**31) - 1, HUGE, 1.5, True, None])
def test_what_is_no_priority_is_refused(odd: str | int) -> None:
    """An unknown name, a fraction and what does not fit 32 bits are refused."""
    with pytest.raises(InvalidJob, match="riority"):
        priority_number(odd)


def test_an_unknown_priority_is_told_what_there_is() -> None:
    """The error names the priorities that exist."""
    with pytest.raises(InvalidJob, match="low, normal, high, critical"):
        priority_number("urgent")
