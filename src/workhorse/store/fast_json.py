"""JSON as the store writes and reads it, by pydantic's core: much faster than the standard one.

It is loaded at the first use: a health probe, which needs next to none, starts without it.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Any

from workhorse.domain.errors import InvalidJob


@cache
def _core() -> ModuleType:
    import pydantic_core  # noqa: PLC0415 - at the first use

    return pydantic_core


def from_json(text: str) -> Any:
    """Return the value of a JSON text."""
    return _core().from_json(text)


def compact(value: Any) -> str:
    """Return JSON text without blanks. Raises `InvalidJob` for what it cannot hold."""
    try:
        text: str = _core().to_json(value).decode()
    except ValueError as error:
        raise InvalidJob(f"The store cannot hold this: {error}.") from error
    return text
