"""Questions to the server that follow from its answers, apart from how the answers are waited for.

An enqueue is the same on a connection of ours, on a caller's, and on one that belongs to an event
loop. What it asks is a generator: it yields a statement, is sent the rows, and returns in the end.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar

T = TypeVar("T")

Rows: TypeAlias = Sequence[Sequence[Any]]


class Ask(NamedTuple):
    """A statement by its name, with its parameters."""

    statement: str
    parameters: Mapping[str, Any]


Asking: TypeAlias = Generator[Ask, Rows, T]
"""Asks one thing after the other, and returns what follows from the answers."""


def answered(asking: Asking[T], answer: Callable[[Ask], Rows]) -> T:
    """Put each question to `answer`; return what comes of it."""
    try:
        ask = next(asking)
        while True:
            ask = asking.send(answer(ask))
    except StopIteration as end:
        found: T = end.value
        return found


async def answered_later(asking: Asking[T], answer: Callable[[Ask], Awaitable[Rows]]) -> T:
    """`answered`, where each answer is awaited."""
    try:
        ask = next(asking)
        while True:
            ask = asking.send(await answer(ask))
    except StopIteration as end:
        found: T = end.value
        return found
