"""The store of one SQLite file.

From the bottom: `connection` (one writer, a few readers, whose turn it is), `statements` (the
SQL), the verbs by who uses them (`client`, `worker`, `supervisor`, `retention`, `health`), and
`store`, which puts them together.
"""

from workhorse.store.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
