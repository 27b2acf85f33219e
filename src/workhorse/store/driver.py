"""What the verbs stand on: two ways into a database, and statements by name.

A statement is named ``noun.block`` (see `statements`); each dialect has its own text for it, with
the same parameters and the same columns. It acts at an instant of the store's own clock, which it
knows itself: no verb handles the time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol, TypeVar

from workhorse.domain.errors import Unavailable

T = TypeVar("T")
Tx_co = TypeVar("Tx_co", bound="Transaction", covariant=True)


class Cursor(Protocol):
    """What a statement gave."""

    @property
    def rowcount(self) -> int:
        """How many rows it changed."""

    def fetchone(self) -> Any:
        """Return the next row, or None."""

    def fetchall(self) -> list[Any]:
        """Return the rows that are left."""


class Transaction(Protocol):
    """An open transaction."""

    def run(self, statement: str, /, **parameters: Any) -> Cursor:
        """Run a statement."""

    def value(self, statement: str, /, **parameters: Any) -> Any:
        """Return the first column of the only row; None when there is none."""

    def listed(self, statement: str, /, **parameters: Any) -> list[Any]:
        """Return the list that a query aggregates into one row of JSON."""


class Rows(NamedTuple):
    """Rows of a table, and the names of its columns in their order."""

    columns: Sequence[str]
    rows: Iterable[Sequence[Any]]


class Whole(Transaction, Protocol):
    """An open transaction in which nobody else changes the database: to copy from and into."""

    def rows(self, table: str) -> AbstractContextManager[Rows]:
        """Give a table's rows, as they come: few of them are held in memory."""

    def add(self, table: str, rows: Rows) -> None:
        """Add rows to a table, as they come, with the ids they have."""


class Driver(Protocol[Tx_co]):
    """One database."""

    def write(self, work: Callable[[Tx_co], T]) -> T:
        """Run `work` in a transaction that is on stable storage when this returns.

        What `work` raises undoes what it did. It may run twice, so it touches nothing but the
        transaction.
        """

    def read(self, statement: str, /, **parameters: Any) -> list[Any]:
        """Return all rows of one query: a snapshot of what was committed."""


def refuse_after_fork(opened_by: int) -> None:
    """Raise `Unavailable` in any process but the one that has opened the store."""
    if os.getpid() != opened_by:
        raise Unavailable(
            "This store was opened before a fork and cannot be used after it.",
            hint="Close the app before the fork, or first of all in the new process: "
            "the next use opens the store again.",
        )
