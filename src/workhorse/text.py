"""Text that every store takes, of whatever a value says of itself."""

from __future__ import annotations

import re
from typing import Final

MESSAGE_LIMIT: Final = 8 * 1024
"""Longest error message kept, in bytes."""
NAME_LIMIT: Final = 256
"""Longest name of a type kept, in bytes."""
BAD_TEXT: Final = re.compile("[\x00\ud800-\udfff]")
"""What no store takes: NUL, and surrogates without their other half."""


def clean_text(text: str, limit: int | None = None) -> str:
    """Return text that every store takes: no NUL, no lone surrogate, at most `limit` bytes.

    What is cut off ends in ``…``.
    """
    text = BAD_TEXT.sub("\ufffd", text)
    if limit is None or len(text) * 4 <= limit:
        return text
    raw = text.encode()
    if len(raw) <= limit:
        return text
    return raw[: max(0, limit - 3)].decode(errors="ignore") + "…"


def octets(text: str) -> int:
    """Return the length of text in bytes, as UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


def cut_middle(text: str, limit: int) -> str:
    """Return at most `limit` bytes of text, its beginning and its end."""
    raw = text.encode()
    if len(raw) <= limit:
        return text
    mark = f"\n… {len(raw) - limit:,} bytes left out …\n"
    half = (limit - len(mark.encode())) // 2
    return raw[:half].decode(errors="ignore") + mark + raw[-half:].decode(errors="ignore")


def safe_text(value: object, limit: int = MESSAGE_LIMIT) -> str:
    """Return ``str(value)``, clean and cut; a value that cannot say it is named by its type."""
    try:
        return clean_text(str(value), limit)
    except BaseException:  # noqa: BLE001 - a value's own __str__ may raise anything, even SystemExit
        return f"<{type_name(type(value))} without a readable text>"


def type_name(kind: type) -> str:
    """Return the qualified name of a type, clean and cut; without the module for a builtin."""
    try:
        module, name = kind.__module__, str(kind.__qualname__)
        return clean_text(name if module == "builtins" else f"{module}.{name}", NAME_LIMIT)
    except BaseException:  # noqa: BLE001 - a metaclass may raise anything
        return "<a type without a readable name>"
