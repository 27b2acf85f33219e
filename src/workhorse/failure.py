"""What is kept of an exception, whatever it does when it is looked at."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from workhorse.domain.outcome import Failure
from workhorse.text import clean_text, cut_middle, safe_text, type_name

TRACEBACK_LIMIT: Final = 16 * 1024
"""Longest traceback kept, in bytes: cut in the middle."""

_OURS: Final = f"{Path(__file__).parent}/"


def failure_from(error: BaseException) -> Failure:
    """Return what is kept of an exception: its type, message and traceback, clean and cut.

    Local variables are not kept. Whatever the exception's own methods do, this returns.
    """
    return Failure(
        type=type_name(type(error)),
        message=safe_text(error),
        traceback=_traceback(error),
    )


def _traceback(error: BaseException) -> str | None:
    if error.__traceback__ is None and error.__cause__ is None:
        return None
    try:
        told = traceback.TracebackException.from_exception(error, compact=True)
        for part in _chain(told):
            part.stack = traceback.StackSummary.from_list(list(_user_frames(part.stack)))
        return cut_middle(clean_text("".join(told.format()).rstrip()), TRACEBACK_LIMIT)
    except BaseException:  # noqa: BLE001 - hostile notes, sources or names must not hurt the settle
        return None


def _chain(
    told: traceback.TracebackException,
) -> Iterator[traceback.TracebackException]:
    """Yield an exception and those it came from, as far as they are worth reading."""
    current: traceback.TracebackException | None = told
    for _ in range(64):
        if current is None:
            return
        yield current
        current = current.__cause__ or current.__context__


def _user_frames(frames: traceback.StackSummary) -> Iterator[traceback.FrameSummary]:
    """Yield the frames from the first one that is not this package's machinery."""
    inside = True
    for frame in frames:
        inside = inside and _is_machinery(frame.filename)
        if not inside:
            yield frame


def _is_machinery(filename: str) -> bool:
    if filename.startswith(_OURS):
        return not filename.startswith(f"{_OURS}demo/")  # handlers, as a user's are
    return "/concurrent/futures/" in filename or "/asyncio/" in filename
