"""Waiting for facts: what a scenario does instead of sleeping."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 30.0
"""Seconds a scenario waits for a fact that should be there in one: machines differ."""


def eventually(
    look: Callable[[], T], *, within: float = PATIENCE, every: float = 0.02, what: str = ""
) -> T:
    """Return the first truthy answer of `look`; fail, naming `what`, after `within` seconds."""
    deadline = time.monotonic() + within
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {within:g} s: {what or look}; last seen: {seen!r}")
        time.sleep(every)


def always(look: Callable[[], object], *, during: float, every: float = 0.05) -> None:
    """Fail as soon as `look` is not true, looking for `during` seconds."""
    deadline = time.monotonic() + during
    while time.monotonic() < deadline:
        assert look(), "a fact that had to hold did not"
        time.sleep(every)
