"""From a URL to an open store."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from workhorse.domain.errors import ConfigurationError
from workhorse.urls import refuse_fragment, sqlite_path

if TYPE_CHECKING:
    from workhorse.store.postgres.url import Place
    from workhorse.store.protocol import Store
    from workhorse.store.sqlite.clock import Clock

DURABILITY: Final = ("full", "normal")
POSTGRES: Final = ("postgresql", "postgres")
DRIVER: Final = "psycopg[binary]>=3.3"
"""What the extra `postgres` installs."""
LEAST_SQLITE: Final = (3, 38, 0)
"""The oldest version that knows all that the statements say."""


def open_store(url: str, *, clock: Clock | None = None, migrating: bool = False) -> Store:
    """Open the store at `url`.

    ``sqlite:///jobs.db`` is a path relative to the current folder,
    ``sqlite:////var/jobs.db`` an absolute one; ``?durability=full`` (the default) or ``normal``;
    the file is made and migrated when needed, but one with tables of somebody else's only when
    `migrating`.
    ``postgresql://user@host/database?schema=workhorse`` is a schema that must have been
    migrated, unless `migrating`. `clock` is for SQLite alone: PostgreSQL has its own. Raises
    `ConfigurationError` for a URL that is none of ours, a schema that is not there or too new,
    `Unavailable` when the store cannot be reached or written.
    """
    if is_postgres(url):
        return _open_postgres(url, migrating=migrating)
    parts = _split(url)
    path = unquote(parts.path[1:])
    if parts.scheme != "sqlite" or parts.netloc or not path:
        raise ConfigurationError(
            f"{parts.scheme or url!r} is not a store Workhorse knows.",
            hint="Use sqlite:///jobs.db, sqlite:////absolute/path/jobs.db, "
            "or postgresql://user@host/database.",
        )
    if path == ":memory:":
        raise ConfigurationError(
            "sqlite:///:memory: cannot be a store: its jobs would be gone with this process.",
            hint="Use a file in a temporary folder; for tests, Workhorse(…, inline=True) "
            "runs each job where it is enqueued.",
        )
    if path.startswith("~"):
        raise ConfigurationError(
            f"{url} cannot be a store: nothing here puts a home folder in the place of ~.",
            hint="Write the whole path: sqlite:////home/…/jobs.db, with four slashes.",
        )
    if "\0" in path:
        raise ConfigurationError(f"{url} cannot be a store: no name of a file holds a null byte.")
    _need_sqlite()
    from workhorse.store.sqlite import SqliteStore  # noqa: PLC0415 - only what the URL names

    return SqliteStore(path, durability=_durability(parts), clock=clock, adopt=migrating)


def is_postgres(url: str) -> bool:
    """Tell whether a URL is one of PostgreSQL. Raises `ConfigurationError` for no URL."""
    return _split(url).scheme in POSTGRES


def postgres_place(url: str) -> Place:
    """Return where a URL of PostgreSQL leads. Raises `ConfigurationError` when it leads nowhere."""
    _need_driver()
    from workhorse.store.postgres.url import parse  # noqa: PLC0415 - an extra

    return parse(url)


def same_store(one: str, other: str) -> bool:
    """Whether two URLs name one store, however they spell it, and whoever they log in as."""
    return one == other or _place(one) == _place(other)


def _place(url: str) -> str:
    if is_postgres(url):
        return postgres_place(url).shown
    path = sqlite_path(url)
    return url if path is None else os.path.realpath(path)


def migration_script(url: str) -> str:
    """Return all that brings the schema of the store at `url` up from nothing, as SQL.

    Each migration is a transaction of its own. On PostgreSQL one that was applied is passed by.
    """
    if is_postgres(url):
        place = postgres_place(url)
        from workhorse.store.postgres.migrate import printed  # noqa: PLC0415 - an extra

        return printed(place)
    from workhorse.store.sqlite.migrate import scripts  # noqa: PLC0415 - only what the URL names

    return "".join(f"-- {step.name}\nbegin;\n{script}commit;\n\n" for step, script in scripts())


def _split(url: str) -> SplitResult:
    refuse_fragment(url)
    try:
        return urlsplit(url)
    except ValueError:
        raise ConfigurationError(
            "The URL of the store cannot be read.",
            hint="A bracket in a password is written %5B or %5D.",
        ) from None


def _durability(parts: SplitResult) -> str:
    options = parse_qs(parts.query, keep_blank_values=True)
    durability = options.pop("durability", ["full"])[-1]
    if options or durability not in DURABILITY:
        raise ConfigurationError(
            f"{parts.query!r} is not an option of a SQLite store.",
            hint="There is one: durability=full or durability=normal.",
        )
    return durability


def _need_sqlite() -> None:
    """Say what to do where Python was built with an SQLite that is too old."""
    import sqlite3  # noqa: PLC0415 - only what the URL names

    if sqlite3.sqlite_version_info < LEAST_SQLITE:
        least = ".".join(map(str, LEAST_SQLITE))
        raise ConfigurationError(
            f"SQLite {sqlite3.sqlite_version}, which this Python brings, is too old: "
            f"a store needs {least} or later.",
            hint="Use another Python, such as `uv python install` gives, or PostgreSQL.",
        )


def _open_postgres(url: str, *, migrating: bool) -> Store:
    place = postgres_place(url)
    from workhorse.store.postgres import PostgresStore  # noqa: PLC0415 - an extra

    return PostgresStore(place, migrating=migrating)


def _need_driver() -> None:
    """Say what to install where the driver, or the library it needs, cannot be imported."""
    try:
        import psycopg  # noqa: F401, PLC0415 - an extra
    except ImportError as error:
        raise ConfigurationError(
            "PostgreSQL needs a driver that is not installed.",
            hint=f"Install it where Workhorse is: pip install '{DRIVER}'. "
            "From a clone, pip install '.[postgres]' brings both.",
        ) from error
