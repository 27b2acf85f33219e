"""docs/guide/python.md names what there is, and says of it what the code says."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from tests.domain.test_errors import TREE
from workhorse import (
    Context,
    Event,
    Handle,
    Job,
    Kind,
    Outcome,
    Priority,
    Reject,
    Retry,
    Snooze,
    State,
    Workhorse,
    WorkhorseError,
)
from workhorse.app import ENQUEUE_MANY
from workhorse.codec import ARGS_LIMIT, MAX_DEPTH, MAX_DIGITS, RESULT_LIMIT
from workhorse.context import LINE_LIMIT
from workhorse.domain.job import NAME
from workhorse.domain.retry import MAX_BUDGET, MAX_DELAY
from workhorse.engine.output import BYTES_PER_ATTEMPT
from workhorse.options import DEFAULT_TIMEOUT, MAX_AFTER, MAX_KEY, UNSET, Options

PAGE = (Path(__file__).parents[2] / "docs" / "guide" / "python.md").read_text()
LONGEST_NAME = 128
INSIDE = {"prepare", "send", "asend", "store", "lend", "place", "spec", "specs", "options", "home"}
"""What is public to the package alone."""
BELOW = {"job", "using"}
"""What takes options that have a table of their own."""


def table(head: str) -> list[list[str]]:
    """Return the rows of the first table below the line that begins with `head`."""
    lines = PAGE.partition(f"\n{head}")[2].splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("|---"))
    rows = takewhile(lambda line: line.startswith("|"), lines[start + 1 :])
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]


def named(head: str) -> list[str]:
    """Return every name that stands in the first column of a table."""
    return [name for first, *_ in table(head) for name in re.findall(r"`([^`]+)`", first)]


def parameters(function: Any) -> list[inspect.Parameter]:
    """Return what a method takes beside itself, as the page shows it."""
    _, *rest = inspect.signature(function).parameters.values()
    return [
        one.replace(annotation=one.empty, default="…" if one.default is UNSET else one.default)
        for one in rest
    ]


def shown(cls: type, name: str) -> str:
    """Return a public name as the page has it: with its parameters, if it is called."""
    thing = inspect.getattr_static(cls, name, None)
    if not inspect.isfunction(thing):
        return name
    if name in BELOW:
        return f"{name}(…)"
    return name + str(inspect.Signature(parameters(thing))).replace("'…'", "…")


@pytest.mark.parametrize(
    ("head", "cls", "more"),
    [
        ("## The app", Workhorse, ["url", "inline"]),
        ("## A kind", Kind, []),
        ("## A handle", Handle, []),
        ("| name of `Context`", Context, []),
    ],
)
def test_every_public_name_is_on_the_page(head: str, cls: type, more: list[str]) -> None:
    """And no other; what can be called with its parameters and their defaults."""
    public = {name for name in dir(cls) if not name.startswith("_")} - INSIDE
    assert sorted(named(head)) == sorted(shown(cls, name) for name in public.union(more))


@pytest.mark.parametrize(
    ("head", "cls", "more"),
    [("| field of `Job`", Job, ["is_finished"]), ("| field of `Event`", Event, [])],
)
def test_every_field_is_on_the_page(head: str, cls: Any, more: list[str]) -> None:
    """Of a job, and of an event."""
    assert sorted(named(head)) == sorted([*(field.name for field in fields(cls)), *more])


def test_every_option_is_on_the_page() -> None:
    """Of a kind, of one enqueue, and of a retry with its defaults."""
    _, *of_a_kind = parameters(Workhorse.job)
    assert named("| option of `job`") == [one.name for one in of_a_kind]
    assert named("| option of `using`") == [field.name for field in fields(Options)]
    defaults = {
        name.strip("`"): default.strip("`") for name, default, _ in table("| field of `Retry`")
    }
    expected = {field.name: field.default for field in fields(Retry)}
    assert defaults == {name: str(value) for name, value in expected.items()} | {
        "on": "(Exception,)"
    }


def test_states_outcomes_and_priorities_are_on_the_page() -> None:
    """Each by its text, in their order."""
    told = {first.strip("`"): meaning for first, meaning in table("| field of `Job`")}
    assert re.findall(r"`([a-z]+)`", told["state"]) == [str(state) for state in State]
    assert re.findall(r"`([a-z_]+)`", told["outcome"]) == [str(outcome) for outcome in Outcome]
    ((priority,),) = [row[2:] for row in table("| option of `job`") if row[0] == "`priority`"]
    assert re.findall(r"`(\w+)` \((-?\d+)\)", priority) == [
        (one.name.lower(), str(one.value)) for one in Priority
    ]


def test_what_a_handler_raises_is_on_the_page() -> None:
    """With its parameters and their defaults."""
    for cls in (Reject, Snooze):
        shape = inspect.Signature(parameters(cls.__init__))
        assert f"{cls.__name__}{shape}" in named("| it raises")


def test_the_limits_of_the_page_are_those_of_the_code() -> None:
    """In the order of the table."""
    limits = [re.match(r"[\d,]+", row[1]) for row in table("## Limits")]
    assert [int(found[0].replace(",", "")) for found in limits if found] == [
        ARGS_LIMIT,
        RESULT_LIMIT,
        MAX_DEPTH,
        MAX_DIGITS,
        LONGEST_NAME,
        MAX_KEY,
        MAX_AFTER,
        ENQUEUE_MANY,
        MAX_DELAY,
        MAX_BUDGET,
        LINE_LIMIT,
        BYTES_PER_ATTEMPT,
    ]
    assert NAME.fullmatch("n" * LONGEST_NAME)
    assert not NAME.fullmatch("n" * (LONGEST_NAME + 1))
    timeout = dict(zip(named("| option of `job`"), table("| option of `job`"), strict=True))
    assert timeout["timeout"][1] == f"`{DEFAULT_TIMEOUT:g}`"


def test_every_error_is_on_the_page() -> None:
    """With what it is, its code and its exit code."""
    rows = [[cell.strip("`") for cell in row[:4]] for row in table("## Errors")]
    assert sorted(rows) == sorted(
        [cls.__name__, cls.__bases__[0].__name__, cls.code, str(cls.exit_code)]
        for cls in TREE
        if cls is not WorkhorseError
    )
