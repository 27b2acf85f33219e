"""Whether the store is well: facts and findings for `doctor` and `health`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Final

from workhorse.store.postgres.connection import Connection
from workhorse.store.postgres.database import Database
from workhorse.store.postgres.listen import Ring, deafness, listening
from workhorse.store.protocol import StoreHealth
from workhorse.store.statements import migrations

OLD_SNAPSHOT: Final = 600
"""Seconds after which an open transaction keeps too much dead weight in the tables."""
OLD_SLOT: Final = 1_000_000
"""Transactions after which a standby that is not heard of does so."""
CLOCKS_APART: Final = 5.0
"""Seconds between two clocks from which on what is read from them does not fit together."""
DEAD_SHARE: Final = 0.2
DEAD_ENOUGH: Final = 10_000
POOLED: Final = (
    "A pooler stands between: set WORKHORSE_LISTEN_URL to the server itself, or workers poll."
)
READ_ONLY: Final = (
    "default_transaction_read_only is on: nothing can be written. Managed services set it when the "
    "disk is full: free some space, and have it reset for the server, the database, or the role."
)
CLOCKS: Final = "leases and what is stored go by the one, logs and a `run_at` by the other."
DRAG: Final = "until it ends, dead rows stay and claims get slower."


class HealthVerbs:
    """The store's own examination."""

    _db: Database
    url: str
    _ring_for: Ring

    def health(self, *, listen_url: str | None = None) -> StoreHealth:
        ((schema,),) = self._db.read("health.schema")
        (server,) = self._db.read("health.server")
        ((size,),) = self._db.read("health.size")
        with self._db.connection() as connection:
            if pooled := connection.pooled:
                _try_a_transaction(connection)
        return StoreHealth(
            url=self.url,
            version=f"PostgreSQL {server[0]}",
            schema=schema,
            size=size,
            findings=(
                *self._findings(schema, server),
                *self._listening(listen_url, pooled=pooled),
            ),
        )

    def _listening(self, url: str | None, *, pooled: bool) -> Iterator[tuple[str, str]]:
        if url is not None:
            why = deafness(listening(self._db.place, url), self._ring_for)
            if why is not None:
                yield "warn", f"WORKHORSE_LISTEN_URL is of no use, workers poll: {why}"
        elif pooled:
            yield "warn", POOLED

    def _findings(self, schema: int, server: Any) -> Iterator[tuple[str, str]]:
        _, fsync, commit, pages, standby, read_only, oldest, prepared, slot, live, dead = server
        newest = migrations("postgres")[-1].number
        if schema < newest:
            yield "error", f"The schema is at {schema}, this Workhorse needs {newest}: migrate."
        if standby:
            yield "error", "The server is a standby: it takes no writes."
        elif read_only == "on":
            yield "error", READ_ONLY
        if fsync != "on" or pages != "on":
            yield "error", "fsync or full_page_writes is off: a crash of the server loses jobs."
        if commit in {"off", "local"}:
            yield "warn", f"synchronous_commit is {commit}: the last jobs may be lost in a crash."
        if oldest is not None and oldest > OLD_SNAPSHOT:
            yield "warn", f"A transaction has been open for {oldest / 60:.0f} minutes: {DRAG}"
        if prepared is not None and prepared > OLD_SNAPSHOT:
            yield "warn", f"A prepared transaction is {prepared / 60:.0f} minutes old: {DRAG}"
        if slot is not None and slot > OLD_SLOT:
            yield "warn", f"A replication slot holds on to {slot:,} transactions: {DRAG}"
        if live is not None and dead > DEAD_ENOUGH and dead > DEAD_SHARE * (live + dead):
            yield "warn", f"The jobs table has {dead:,} dead rows: autovacuum does not keep up."
        apart = self._clocks_apart()
        if abs(apart) > CLOCKS_APART:
            where = "ahead of" if apart > 0 else "behind"
            yield "warn", f"The server's clock is {abs(apart):.0f} s {where} this host's: {CLOCKS}"
        ((silent,),) = self._db.read("health.silent_workers")
        if silent:
            yield "warn", f"{silent} worker(s) have fallen silent and were not yet found lost."

    def _clocks_apart(self) -> float:
        """Return by how many seconds, at least, the server's clock is ahead of this host's.

        It was read at some moment between asking and the answer: that is taken off.
        """
        asked = time.time()
        ((said,),) = self._db.read("health.clock")
        answered = time.time()
        at = float(said) / 1000
        return max(0.0, at - answered) or min(0.0, at + 0.001 - asked)


def _try_a_transaction(connection: Connection) -> None:
    """Raise what keeps a transaction from being had: a pooler may lend one statement at a time."""
    with connection.transaction():
        pass
