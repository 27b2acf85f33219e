"""Text for a terminal: what it may hold, how wide it is, how it is cut, the colour of a state."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from itertools import accumulate
from typing import Any, Final

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")

STATE_COLOURS: Final[Mapping[str, str]] = {
    "running": "cyan",
    "succeeded": "green",
    "failed": "red",
    "cancelled": "yellow",
}
"""The colours of states, by click's names; the other states have none."""


def clean(text: str) -> str:
    """Return `text` with control characters as escapes, so that it cannot drive a terminal."""
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def escaped(text: str) -> str:
    """Return JSON text with control characters as escapes: the same value, fit for a terminal."""
    return _CONTROL.sub(lambda m: m[0] if m[0] == "\n" else f"\\u{ord(m[0]):04x}", text)


def width(text: str) -> int:
    """Return how many columns of a terminal `text` takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )


def cut(text: str, columns: int) -> str:
    """Return `text`, or its beginning and an ellipsis where it is wider than `columns`."""
    if width(text) <= columns:
        return text
    if columns <= 0:
        return ""
    taken = accumulate(map(width, text))
    kept = next(place for place, wide in enumerate(taken) if wide >= columns)
    return text[:kept] + "…"


def speaks_unicode(stream: Any) -> bool:
    """Whether `stream` can show more than ASCII: frames and bars are drawn with it then."""
    encoding = getattr(stream, "encoding", None) or "ascii"
    return bool(encoding.lower().replace("-", "").startswith("utf"))
