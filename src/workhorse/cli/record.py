"""Printing events: what one job said, and the record as a whole."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from workhorse.cli.output import Column, compact, print_rows
from workhorse.cli.rows import event_row
from workhorse.cli.watch import PAGE, existing, follow, is_event, stamped

if TYPE_CHECKING:
    from workhorse.domain.events import Event
    from workhorse.store.protocol import Store


def print_record(
    store: Store, job_id: int, output: str, *, following: bool, everything: bool, after: int
) -> None:
    """Print the log lines of one job, or with `everything` its whole record; oldest first."""
    existing(store, job_id)
    events = (
        filter(is_event, follow(store, job_id, after=after))
        if following
        else pages(store, job_id=job_id, after=after)
    )
    rows = map(event_row, events)
    _print((row for row in rows if everything or row["name"] == "log"), output)


def pages(
    store: Store, *, job_id: int | None = None, after: int = 0, output: bool = True
) -> Iterator[Event]:
    """Yield every event after `after` that is there now, page by page, oldest first."""
    while page := store.events(job_id=job_id, after=after, limit=PAGE, output=output):
        yield from page
        after = page[-1].seq


def _print(rows: Iterable[dict[str, Any]], output: str) -> None:
    if output == "json":
        print_rows(list(rows), "json", _COLUMNS)
        return
    for row in rows:
        if output == "table":
            print(stamped(row))
        else:
            print(row["seq"] if output == "ids" else compact(row))
        sys.stdout.flush()


_COLUMNS: Final = (Column("SEQ", lambda row: row["seq"], right=True),)
