"""The store of one SQLite file.

From the bottom: `file` (made, and still there), `gate` and `group` (whose turn it is to write),
`log` (kept short), `database` (the connections, and the two ways in), the verbs that are its own
(`client`, `worker`, `health`), and `store`, which puts them together with the common ones.
"""

from workhorse.store.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
