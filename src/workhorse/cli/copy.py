"""`workhorse copy SOURCE TARGET`: everything, from one store to another."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Final

import click

from workhorse.cli.output import Column, print_rows
from workhorse.cli.shared import output_option, say

if TYPE_CHECKING:
    from workhorse.store.verbs.copying import Tell

COLUMNS: Final = (
    Column("WHAT", lambda row: row["name"], state=True),
    Column("COPIED", lambda row: f"{row['copied']:,}", right=True),
)


@click.command()
@click.argument("source", metavar="SOURCE")
@click.argument("target", metavar="TARGET")
@output_option
def copy(*, source: str, target: str, output: str) -> None:
    """Copy everything from one store into another, empty one.

    SOURCE and TARGET are URLs: from sqlite:///jobs.db to postgresql://…, or any other way. Jobs in
    every state, their attempts and the whole record are copied, with their ids; SOURCE stays as it
    is. Stop its workers first, and what enqueues. On PostgreSQL, `workhorse migrate` makes TARGET.
    TARGET gets everything or nothing: what was interrupted can be done again.

    A password is better given by PGPASSWORD or ~/.pgpass: others can see arguments.
    """
    from workhorse.store.opening import open_store
    from workhorse.store.verbs.copying import copy as copy_store
    from workhorse.store.verbs.copying import refuse_in_use
    from workhorse.urls import refuse_missing

    refuse_missing(source)
    with closing(open_store(source)) as old:
        refuse_in_use(old)
        with closing(open_store(target)) as new, bar() as tell:
            counts = copy_store(old, new, tell)
            where = new.url
    print_rows(({"name": name, "copied": n} for name, n in counts.items()), output, COLUMNS)
    say(f"Counted in both, and the same. Now let app and workers use {where}.")


@contextmanager
def bar() -> Iterator[Tell | None]:
    """Give what shows how far it is, on a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    with click.progressbar(length=1, label="Copying", file=sys.stderr) as shown:

        def tell(done: int, total: int) -> None:
            shown.length = total
            shown.update(done - shown.pos)

        yield tell
