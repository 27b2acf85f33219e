"""Numbered migrations, each applied once, in one transaction, by one process at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from psycopg import errors, sql

from workhorse.domain.errors import ConfigurationError
from workhorse.store.postgres.connection import Connection
from workhorse.store.postgres.url import Place
from workhorse.store.statements import Migration, migrations

LOCK: Final = 0x776F726B
"""The advisory lock that one migrating process holds."""
LEAST_SERVER: Final = 14
"""The oldest version of PostgreSQL that knows all that the migrations say."""

TAKEN: Final = (errors.DuplicateFunction, errors.DuplicateObject, errors.DuplicateTable)
LOCK_PATIENCE: Final = "3s"
"""How long what another transaction keeps is waited for."""

_FIRST: Final = """
do $$ begin
    if to_regnamespace('workhorse') is null then  -- "if not exists" asks for the right first
        create schema workhorse;
    end if;
end $$;
create table if not exists workhorse.schema_version (
    number integer primary key,
    name text not null,
    applied_at timestamptz not null default now()
);
"""
_NOTE: Final = "\ninsert into workhorse.schema_version (number, name) values (%d, '%s');\n"
_PRINTED: Final = """\
-- %(name)s
begin;
set local lock_timeout = '%(patience)s';
select pg_advisory_xact_lock(%(lock)d);
%(first)s
do $step$ begin
if not exists (select from workhorse.schema_version where number = %(number)d) then
execute $migration$
%(script)s
$migration$;
end if;
end $step$;
commit;

"""


def scripts(place: Place, since: int = 0) -> Iterator[tuple[Migration, str]]:
    """Yield each migration after number `since`, and all that it does, as SQL."""
    for step in migrations("postgres"):
        if step.number > since:
            yield step, place.in_schema(_FIRST + _noted(step))


def printed(place: Place) -> str:
    """Return all migrations as SQL for others to run: each is applied once, whole or not at all."""
    return place.in_schema("".join(map(_printed, migrations("postgres"))))


def _printed(step: Migration) -> str:
    return _PRINTED % {
        "name": step.name,
        "number": step.number,
        "lock": LOCK,
        "patience": LOCK_PATIENCE,
        "first": _FIRST,
        "script": _noted(step),
    }


def _noted(step: Migration) -> str:
    return step.script + _NOTE % (step.number, step.name)


def migrate(connection: Connection, place: Place) -> Sequence[str]:
    """Bring the schema up to date and return the names of the migrations applied.

    A lock that somebody else's transaction holds is waited for a bounded time (3 s), and then
    nothing has changed. Raises `ConfigurationError` for a server that is too old, for a database
    that is not in UTF8, and for a schema that has something by a name of ours already.
    """
    _check_server(connection, place)
    try:
        with connection.transaction():
            return _apply(connection, place)
    except TAKEN as error:
        raise ConfigurationError(
            f"The schema {place.schema} of {place.shown} is no store, nor empty: "
            f"{error.diag.message_primary}.",
            hint="Use another with ?schema=; or, when it is only what is left of an attempt to "
            f"make a store, drop schema {place.schema} cascade, and migrate again.",
        ) from error


def _apply(connection: Connection, place: Place) -> list[str]:
    connection.execute("select set_config('lock_timeout', %s, true)", (LOCK_PATIENCE,))
    connection.execute("select pg_advisory_xact_lock(%s)", (LOCK,))
    applied = []
    for step, script in scripts(place, version(connection, place)):
        connection.execute(script.encode(), prepare=False)
        applied.append(step.name)
    return applied


def version(connection: Connection, place: Place) -> int:
    """Return the number of the newest migration applied, 0 for an empty database."""
    name = f"{place.schema}.schema_version"
    if connection.execute("select to_regclass(%s)", (name,)).fetchone() == (None,):
        return 0
    table = sql.Identifier(place.schema, "schema_version")
    query = sql.SQL("select coalesce(max(number), 0) from {}").format(table)
    found = connection.execute(query).fetchone()
    assert found is not None
    return int(found[0])


def check(connection: Connection, place: Place) -> None:
    """Raise `ConfigurationError` unless server and schema are new enough, and hold any text.

    A newer schema is accepted: a migration leaves room for the version before it.
    """
    _check_server(connection, place)
    found, needed = version(connection, place), migrations("postgres")[-1].number
    if found < needed:
        state = f"is at {found}, this Workhorse needs {needed}" if found else "is not there"
        raise ConfigurationError(
            f"The schema of {place.shown} {state}.",
            hint="Run `workhorse migrate` (or `workhorse migrate --sql` to see what it does).",
        )


def _check_server(connection: Connection, place: Place) -> None:
    """In another encoding than UTF8 a result may have no place, when its job has run."""
    if connection.info.server_version < LEAST_SERVER * 10_000:
        shown = connection.info.parameter_status("server_version")
        raise ConfigurationError(
            f"The server of {place.shown} is PostgreSQL {shown}, which is too old.",
            hint=f"A store needs PostgreSQL {LEAST_SERVER} or later.",
        )
    encoding = connection.info.parameter_status("server_encoding")
    if encoding is None:  # a pooler may keep it to itself
        ((encoding,),) = connection.execute("show server_encoding").fetchall()
    if encoding != "UTF8":
        raise ConfigurationError(
            f"The database of {place.shown} is in {encoding}, which cannot hold every text.",
            hint="Use one in UTF8: create database … encoding 'UTF8' template template0.",
        )
