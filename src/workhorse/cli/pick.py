"""Picking jobs: by state, queue, kind and worker, or by id."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import wraps
from typing import TYPE_CHECKING, Any, Final

import click

from workhorse.cli.shared import Instant, fail_usage, read_stdin, with_options
from workhorse.domain.job import Outcome, State
from workhorse.instants import EPOCH
from workhorse.store.protocol import JobFilter

if TYPE_CHECKING:
    from workhorse.domain.job import Job
    from workhorse.store.protocol import Store

PAGE: Final = 1000
LARGEST_ID: Final = 2**63 - 1


def filter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add options that filter jobs and may be repeated; they reach the command as one `where`."""

    @wraps(command)
    def filtered(
        *,
        states: tuple[str, ...],
        queues: tuple[str, ...],
        kinds: tuple[str, ...],
        worker: int | None,
        outcomes: tuple[str, ...],
        since: datetime | None,
        until: datetime | None,
        **rest: Any,
    ) -> Any:
        where = JobFilter(
            states=tuple(map(State, states)),
            queues=queues,
            kinds=kinds,
            worker=worker,
            outcomes=tuple(map(Outcome, outcomes)),
            since=_ms(since),
            until=_ms(until),
        )
        return command(where=where, **rest)

    return with_options(
        filtered,
        click.option(
            "--state",
            "states",
            multiple=True,
            type=click.Choice([state.value for state in State]),
            help="Only jobs in this state; may be repeated, for any of several.",
        ),
        click.option(
            "--queue", "queues", multiple=True, help="Only jobs of this queue; may be repeated."
        ),
        click.option(
            "--kind", "kinds", multiple=True, help="Only jobs of this kind; may be repeated."
        ),
        click.option("--worker", type=int, help="Only jobs of this worker, by its id."),
        click.option(
            "--outcome",
            "outcomes",
            multiple=True,
            type=click.Choice([outcome.value for outcome in Outcome]),
            help="Only jobs whose last ended attempt had this outcome; may be repeated.",
        ),
        click.option(
            "--since",
            type=Instant(),
            help="Only jobs enqueued at this instant or later, such as 2030-01-31T08:00Z.",
        ),
        click.option("--until", type=Instant(), help="Only jobs enqueued before this instant."),
    )


def _ms(instant: datetime | None) -> int | None:
    """Return an instant as the store has it; of what lies between two milliseconds, the later."""
    return None if instant is None else -((EPOCH - instant) // timedelta(milliseconds=1))


def matching(store: Store, where: JobFilter) -> Iterator[Job]:
    """Yield every job that fits, newest first."""
    before: int | None = None
    while page := store.list_jobs(where, limit=PAGE, before=before):
        yield from page
        before = page[-1].id


def read_ids(given: Sequence[str]) -> list[int]:
    """Return job ids from arguments; ``-`` stands for ids on stdin, separated by white space."""
    words: list[str] = []
    for word in given:
        words += read_stdin().split() if word == "-" else [word]
    return list(dict.fromkeys(map(_id, words)))


def _id(word: str) -> int:
    digits = word.isascii() and word.isdecimal() and len(word) <= len(str(LARGEST_ID))
    if not digits or int(word) > LARGEST_ID:
        fail_usage(f"{word[:40]!r} is not a job id.")
    return int(word)
