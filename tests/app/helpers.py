"""Small things the tests of the app share."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from workhorse import Job, Workhorse
from workhorse.inline import run_inline
from workhorse.store.protocol import JobFilter


def stored(app: Workhorse) -> list[Job]:
    """Return every job in the app's store, oldest first."""
    return app.store.list_jobs(JobFilter(), limit=1000)[::-1]


def work(app: Workhorse, *job_ids: int) -> None:
    """Run these jobs here, as inline mode does, whatever the app's own mode."""
    for job_id in job_ids:
        run_inline(app.store, app.kinds, job_id)


def nested(levels: int, innermost: Any = None) -> Any:
    """Return lists within lists, so many levels deep."""
    for _ in range(levels):
        innermost = [innermost]
    return innermost


odd_text = st.text(st.characters(exclude_categories=()), max_size=40)
"""Any text Python can hold: NUL, control characters and lone surrogates too."""

odd_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | odd_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(odd_text, inner, max_size=4),
    max_leaves=12,
)
"""Plain data whose text and numbers may be odd."""
