"""Small things the tests of the app share."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from workhorse import Job, Workhorse
from workhorse.domain.job import Claimed
from workhorse.inline import run_inline
from workhorse.store.protocol import JobFilter, NewWorker


def stored(app: Workhorse) -> list[Job]:
    """Return every job in the app's store, oldest first."""
    return app.store.list_jobs(JobFilter(), limit=1000)[::-1]


def work(app: Workhorse, *job_ids: int) -> None:
    """Run these jobs here, as inline mode does, whatever the app's own mode."""
    for job_id in job_ids:
        run_inline(app.store, app.specs, job_id)


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


def a_worker(
    app: Workhorse, *, queues: tuple[str, ...] = ("default",), kinds: tuple[str, ...] = ("noop",)
) -> int:
    """Register a worker with two slots that does nothing; return its id."""
    return app.store.register(
        NewWorker(
            host="elsewhere",
            pid=1,
            queues=queues,
            kinds=kinds,
            processes=1,
            concurrency=2,
            lease=600,
        )
    )


def claim(app: Workhorse, job_id: int) -> Claimed:
    """Make a job running, on a worker that does nothing."""
    claimed = app.store.claim_job(a_worker(app), job_id)
    assert claimed is not None
    return claimed
