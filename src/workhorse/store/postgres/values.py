"""How statements of ours write and read values: as the driver does by itself.

Whatever a program has registered for its own values, with the driver or with a connection, is not
for ours.
"""

from __future__ import annotations

from typing import Any, Final

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import AdaptersMap
from psycopg.postgres import register_default_adapters
from psycopg.rows import tuple_row
from psycopg.types.array import register_all_arrays
from psycopg.types.string import TextLoader

PLAIN: Final = AdaptersMap(types=psycopg.adapters.types)
register_default_adapters(PLAIN)
register_all_arrays(PLAIN)


class _Text(TextLoader):
    """Also reads text as such when the caller's ``client_encoding`` is SQL_ASCII."""

    def load(self, data: Buffer) -> str:
        text = super().load(data)
        return text if isinstance(text, str) else text.decode()


_IN_SESSION: Final = AdaptersMap(PLAIN)
_IN_SESSION.register_loader("text", _Text)


class SessionCursor(psycopg.Cursor[tuple[Any, ...]]):
    """A cursor of ours on a caller's connection."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        super().__init__(connection, row_factory=tuple_row)

    @property
    def adapters(self) -> AdaptersMap:
        return _IN_SESSION


class AsyncSessionCursor(psycopg.AsyncCursor[tuple[Any, ...]]):
    """The same on one that belongs to an event loop."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        super().__init__(connection, row_factory=tuple_row)

    @property
    def adapters(self) -> AdaptersMap:
        return _IN_SESSION
