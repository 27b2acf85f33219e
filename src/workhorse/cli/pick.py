"""Picking jobs by state, queue, kind and worker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from workhorse.cli.shared import STATES

if TYPE_CHECKING:
    from workhorse.store.protocol import JobFilter


def filter_options(command: Any) -> Any:
    """Add ``--state``, ``--queue``, ``--kind`` and ``--worker``; each may be repeated."""
    for option in (
        click.option("--worker", type=int, help="Only jobs of this worker."),
        click.option("--kind", "kinds", multiple=True, help="Only jobs of this kind."),
        click.option("--queue", "queues", multiple=True, help="Only jobs of this queue."),
        click.option(
            "--state", "states", multiple=True, type=click.Choice(STATES), help="Only this state."
        ),
    ):
        command = option(command)
    return command


def make_filter(
    states: Sequence[str], queues: Sequence[str], kinds: Sequence[str], worker: int | None
) -> JobFilter:
    """Return the store's filter for the options of `filter_options`."""
    from workhorse.domain.job import State
    from workhorse.store.protocol import JobFilter

    return JobFilter(
        states=tuple(State(state) for state in states),
        queues=tuple(queues),
        kinds=tuple(kinds),
        worker=worker,
    )
