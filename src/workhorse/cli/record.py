"""Printing events: what one job said, and its whole record."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from workhorse.cli.follow import Patience, existing, follow, pages
from workhorse.cli.output import print_line, print_rows
from workhorse.cli.rows import event_row
from workhorse.cli.watch import stamped

if TYPE_CHECKING:
    from workhorse.store.protocol import Store


def print_record(
    store: Store, job_id: int, output: str, *, following: bool, everything: bool, after: int
) -> None:
    """Print the log lines of one job, or with `everything` its whole record; oldest first."""
    existing(store, job_id)
    events = (
        follow(store, job_id, Patience(), after=after)
        if following
        else pages(store, job_id=job_id, after=after)
    )
    rows = map(event_row, events)
    _print((row for row in rows if everything or row["name"] == "log"), output)


def _print(rows: Iterable[dict[str, Any]], output: str) -> None:
    """Print each row as it comes; only a JSON array has to wait for the last."""
    if output == "json":
        print_rows(rows, output, ())
        return
    for row in rows:
        if output == "table":
            print(stamped(row))
        else:
            print_line(row, output)
        sys.stdout.flush()
