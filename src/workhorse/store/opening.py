"""From a URL to an open store."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from workhorse.domain.errors import ConfigurationError
from workhorse.store.protocol import Store
from workhorse.store.sqlite import SqliteStore
from workhorse.store.sqlite.clock import Clock

DURABILITY: Final = ("full", "normal")


def open_store(url: str, *, clock: Clock | None = None) -> Store:
    """Open the store at `url`, creating and migrating it when needed.

    ``sqlite:///jobs.db`` is a path relative to the current folder, ``sqlite:////var/jobs.db``
    an absolute one; ``?durability=full`` (the default) or ``normal``. Raises
    `ConfigurationError` for a URL that is none of ours, `Unavailable` when the store cannot be
    reached or written.
    """
    parts = urlsplit(url)
    path = unquote(parts.path[1:])
    if parts.scheme != "sqlite" or parts.netloc or not path:
        raise ConfigurationError(
            f"{parts.scheme or url!r} is not a store Workhorse knows.",
            hint="Use sqlite:///jobs.db, or sqlite:////absolute/path/jobs.db.",
        )
    options = parse_qs(parts.query, keep_blank_values=True)
    durability = options.pop("durability", ["full"])[-1]
    if options or durability not in DURABILITY:
        raise ConfigurationError(
            f"{parts.query!r} is not an option of a SQLite store.",
            hint="There is one: durability=full or durability=normal.",
        )
    return SqliteStore(path, durability=durability, clock=clock)
