"""Numbered migrations, each applied once, in one transaction."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Final

from workhorse.domain.errors import ConfigurationError
from workhorse.store.sqlite.transaction import SQL
from workhorse.store.statements import Migration, migrations

_FIRST: Final = """\
create table if not exists schema_version (number integer primary key, name text not null) strict;
"""
_NAMES: Final = re.compile(r"^create (?:unique )?(?:table|index|view|trigger) (\w+)", re.MULTILINE)
_NOTE: Final = "\ninsert into schema_version (number, name) values (%d, '%s');\n"


def scripts() -> Iterator[tuple[Migration, str]]:
    """Yield each migration, and all that it does, as SQL."""
    for step in migrations("sqlite"):
        yield step, _FIRST + step.script + _NOTE % (step.number, step.name)


def migrate(connection: sqlite3.Connection) -> Sequence[str]:
    """Bring the schema up to date and return the names of the migrations applied.

    One that is up to date is only read: it can be opened while somebody else writes, be it a
    transaction of the very caller. Raises `ConfigurationError` for a database that a newer
    Workhorse has migrated, and for one that has something else by a name of ours.
    """
    known, reached = migrations("sqlite"), version(connection)
    if reached > known[-1].number:
        raise ConfigurationError(
            f"The store was migrated by a newer Workhorse (schema {reached}, "
            f"this one knows {known[-1].number}).",
            hint="Upgrade Workhorse here.",
        )
    missing = [(step, script) for step, script in scripts() if step.number > reached]
    return [step.name for step, script in missing if _apply(connection, step, script)]


@cache
def names() -> str:
    """Return the names of all that a store has, as JSON."""
    made = _NAMES.findall("".join(script for _, script in scripts()))
    return json.dumps(["schema_version", *made])


def refuse_taken(path: object, taken: Sequence[Sequence[str]]) -> None:
    """Raise `ConfigurationError` when a file that is no store has rows of ``health.taken``."""
    if taken:
        found = ", ".join(repr(name) for (name,) in taken)
        raise ConfigurationError(
            f"{path} is not a Workhorse store, but has things that are called as in one: {found}.",
            hint="Give the jobs a file of their own.",
        )


def version(connection: sqlite3.Connection) -> int:
    """Return the number of the newest migration applied, 0 for a database that is no store."""
    (no_store,) = connection.execute(SQL["health.no_store"]).fetchone()
    if no_store:
        return 0
    (number,) = connection.execute("select coalesce(max(number), 0) from schema_version").fetchone()
    return int(number)


def _apply(connection: sqlite3.Connection, step: Migration, script: str) -> bool:
    connection.execute("begin immediate")
    applied = version(connection) < step.number
    if applied:
        if step.number == 1:
            ((path,),) = connection.execute("select file from pragma_database_list limit 1")
            taken = connection.execute(SQL["health.taken"], {"names": names()})
            refuse_taken(path, taken.fetchall())
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
