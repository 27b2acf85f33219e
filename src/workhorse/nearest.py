"""What was meant by a slip of the pen."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(name: str, names: Iterable[str]) -> str:
    """Return `` Did you mean …?`` for the closest of `names`, or an empty text."""
    from difflib import get_close_matches  # noqa: PLC0415 - only for a slip of the pen

    close = get_close_matches(name, list(names), n=1, cutoff=0.6)
    return f" Did you mean {close[0]!r}?" if close else ""
