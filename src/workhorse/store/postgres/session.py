"""Taking part in a transaction that is not ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus


@contextmanager
def part_of_transaction(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Do all of the block in the caller's transaction, or, when it raises, none of it.

    A connection that is not in autocommit begins a transaction at its first statement; so it
    does here.
    """
    connection.execute("savepoint workhorse", prepare=False)
    try:
        yield
    except BaseException:
        if connection.info.transaction_status in {
            TransactionStatus.INTRANS,
            TransactionStatus.INERROR,
        }:
            connection.execute("rollback to workhorse", prepare=False)
        raise
    connection.execute("release workhorse", prepare=False)
