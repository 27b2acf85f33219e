"""Taking part in a transaction that is not ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.errors import InFailedSqlTransaction, ReadOnlySqlTransaction
from psycopg.pq import PipelineStatus, TransactionStatus

from workhorse.domain.errors import InvalidJob


def refuse_unfit(connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> None:
    """Raise `InvalidJob` for a connection that can take no job, with what is wrong with it."""
    if connection.closed:
        raise closed()
    if connection.info.pipeline_status != PipelineStatus.OFF:
        raise InvalidJob(
            "The session is in a pipeline: its answers come too late for an enqueue.",
            hint="Enqueue before the pipeline or after it, in the same transaction.",
        )
    if connection.autocommit and connection.info.transaction_status == TransactionStatus.IDLE:
        raise no_transaction()


def closed() -> InvalidJob:
    """Return the refusal of a connection that is closed."""
    return InvalidJob("The session is closed.", hint="Give an open one.")


def no_transaction() -> InvalidJob:
    """Return the refusal of a connection that would commit each statement by itself."""
    return InvalidJob(
        "The connection has no open transaction to enqueue in.",
        hint="Begin one, or enqueue without a session.",
    )


def in_transaction(connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> bool:
    """Tell whether there is a transaction, failed or not."""
    status = connection.info.transaction_status
    return status in {TransactionStatus.INTRANS, TransactionStatus.INERROR}


@contextmanager
def blaming_the_session() -> Iterator[None]:
    """Word the errors that are the transaction's own: to try again in it is of no use."""
    try:
        yield
    except InFailedSqlTransaction as error:
        raise InvalidJob(
            "The session's transaction has failed: it can only be rolled back.",
            hint="Roll it back, and do all of it again.",
        ) from error
    except ReadOnlySqlTransaction as error:
        raise InvalidJob("The session is read-only.", hint="Give one that may write.") from error


@contextmanager
def part_of_transaction(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Do all of the block in the caller's transaction, or, when it raises, none of it.

    A connection that is not in autocommit begins a transaction at its first statement; so it
    does here. Raises `InvalidJob` when it has failed, or may only read.
    """
    with blaming_the_session():
        connection.execute("savepoint workhorse", prepare=False)
        try:
            yield
        except BaseException:
            if in_transaction(connection):
                connection.execute("rollback to workhorse", prepare=False)
            raise
        connection.execute("release workhorse", prepare=False)
