"""From one store to another, whatever kind each is of: all there is, as it is.

Ids, and so every reference, stay; the target goes on numbering after them. Nobody writes to either
store meanwhile, and the target has all of it or nothing: what was interrupted can be done again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from workhorse.domain.errors import Conflict
from workhorse.domain.job import State
from workhorse.store.driver import Rows, Transaction
from workhorse.store.protocol import Store

TABLES: Final = (
    "workers", "paused_queues", "jobs", "dependencies", "idempotency_keys", "history", "attempts",
    "events", "forgotten",
)  # fmt: skip
"""What is copied row by row; the names are the same in every dialect, and so are the columns."""
TELL_EVERY: Final = 1000

Counts: TypeAlias = Mapping[str, int]
"""How many jobs there are in each state, and how much of everything else."""
Tell: TypeAlias = Callable[[int, int], None]


def refuse_in_use(source: Store) -> None:
    """Raise `Conflict` while a worker of `source` is at work: asked before a target is made."""
    with source.whole() as old:
        _refuse_workers(old, source.url)


def copy(source: Store, target: Store, tell: Tell | None = None) -> Counts:
    """Copy all of `source` into `target`, and return what both hold then, counted in both.

    `tell` is called now and then with the rows copied so far and how many there are. A job that
    ran on a worker which is dead is running in the target, too, until the next worker rescues it.
    Raises `Conflict`, with nothing copied, while a worker of `source` is at work, and unless
    `target` is empty.
    """
    if _are_one(source, target):
        raise Conflict(f"{source.url} cannot be copied into itself.")
    with source.whole() as old, target.whole() as new:
        _refuse_workers(old, source.url)
        _refuse_content(new, target.url)
        counts = _counts(old)
        told = _Told(tell, sum(counts.values()))
        for table in TABLES:
            with old.rows(table) as (columns, rows):
                new.add(table, Rows(columns, told.passing(rows)))
        jobs, workers, events = old.run("copying.numbers").fetchone()
        new.run("copying.go_on_after", jobs=jobs, workers=workers, events=events)
        new.run("copying.end_leases")
        if (found := _counts(new)) != counts:
            raise RuntimeError(f"the copy holds {found}, its source {counts}")
    target.tidy()
    return counts


def _are_one(source: Store, target: Store) -> bool:
    """Whether both are one store: a file may have two names, but one folder beside it."""
    beside = source.run_dir
    return source.url == target.url or (beside is not None and beside == target.run_dir)


class _Told:
    """Counts rows as they pass, and tells of it."""

    def __init__(self, tell: Tell | None, total: int) -> None:
        self._tell = tell
        self._total = total
        self._done = 0

    def passing(self, rows: Iterable[Sequence[Any]]) -> Iterator[Sequence[Any]]:
        for row in rows:
            yield row
            self._done += 1
            if self._tell and (self._done % TELL_EVERY == 0 or self._done == self._total):
                self._tell(self._done, self._total)


def _refuse_workers(tx: Transaction, url: str) -> None:
    at_work = tx.run("copying.at_work").fetchall()
    if at_work:
        who = ", ".join(f"{id} (host {host}, pid {pid})" for id, host, pid in at_work)
        raise Conflict(
            f"Worker {who} of {url} is at work.",
            hint="Stop every worker first; one that was killed counts until its lease has run out.",
        )


def _refuse_content(tx: Transaction, url: str) -> None:
    found = [f"{number:,} {what}" for what, number in _counts(tx).items() if number]
    if found:
        raise Conflict(
            f"{url} is not empty: it has {', '.join(found)}.", hint="Copy into a new store."
        )


def _counts(tx: Transaction) -> Counts:
    return {state.value: 0 for state in State} | dict(tx.run("copying.counts").fetchall())
