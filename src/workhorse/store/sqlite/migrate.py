"""Numbered migrations, each applied once, in one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Final

from workhorse.domain.errors import Unavailable
from workhorse.store.statements import Migration, migrations

_FIRST: Final = """\
create table if not exists schema_version (number integer primary key, name text not null) strict;
"""
_NOTE: Final = "\ninsert into schema_version (number, name) values (%d, '%s');\n"


def scripts() -> Iterator[tuple[Migration, str]]:
    """Yield each migration, and all that it does, as SQL."""
    for step in migrations("sqlite"):
        yield step, _FIRST + step.script + _NOTE % (step.number, step.name)


def migrate(connection: sqlite3.Connection) -> Sequence[str]:
    """Bring the schema up to date and return the names of the migrations applied.

    One that is up to date is only read: it can be opened while somebody else writes, be it a
    transaction of the very caller. Raises `Unavailable` for a database that a newer Workhorse
    has migrated.
    """
    known, reached = migrations("sqlite"), version(connection)
    if reached > known[-1].number:
        raise Unavailable(
            f"The store was migrated by a newer Workhorse (schema {reached}, "
            f"this one knows {known[-1].number}).",
            hint="Upgrade Workhorse here.",
        )
    missing = [(step, script) for step, script in scripts() if step.number > reached]
    return [step.name for step, script in missing if _apply(connection, step, script)]


def version(connection: sqlite3.Connection) -> int:
    """Return the number of the newest migration applied, 0 for an empty database."""
    exists = connection.execute("select 1 from sqlite_schema where name = 'schema_version'")
    if exists.fetchone() is None:
        return 0
    (number,) = connection.execute("select coalesce(max(number), 0) from schema_version").fetchone()
    return int(number)


def _apply(connection: sqlite3.Connection, step: Migration, script: str) -> bool:
    connection.execute("begin immediate")
    applied = version(connection) < step.number
    if applied:
        for statement in split(script):
            connection.execute(statement)
    connection.execute("commit")
    return applied


def split(script: str) -> Iterator[str]:
    """Yield the statements of a script: `executescript` would commit between them."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
