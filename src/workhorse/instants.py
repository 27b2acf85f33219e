"""Instants of a store, milliseconds since 1970 UTC, as they are shown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def instant(ms: int | None) -> str | None:
    """Return an instant as ISO 8601, ending in Z; None when there is none, or no date has it."""
    if ms is None:
        return None
    try:
        moment = EPOCH + timedelta(milliseconds=ms)
    except OverflowError:
        return None
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def short_instant(text: str | None) -> str | None:
    """Return what `instant` returned without its milliseconds."""
    return None if text is None else text[:19] + "Z"


def when(ms: int | None) -> str:
    """Return an instant for a sentence, whatever it is."""
    if ms is None:
        return "an unknown time"
    return short_instant(instant(ms)) or f"{ms} ms after 1970"
