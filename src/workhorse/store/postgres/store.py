"""The store in one schema of a PostgreSQL database: the whole protocol, put together."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final

from workhorse.logs import log
from workhorse.store.postgres import migrate
from workhorse.store.postgres.child import ChildVerbs
from workhorse.store.postgres.client import PostgresClientVerbs
from workhorse.store.postgres.database import Database, PostgresTransaction
from workhorse.store.postgres.health import POOLED, HealthVerbs
from workhorse.store.postgres.listen import Listener, listening
from workhorse.store.postgres.position import Position
from workhorse.store.postgres.ringing import Ringing
from workhorse.store.postgres.settling import free, settle, unblock_after
from workhorse.store.postgres.url import Place
from workhorse.store.postgres.whole import PostgresWhole, alone
from workhorse.store.protocol import Settled
from workhorse.store.verbs.measuring import Measure
from workhorse.store.verbs.retention import LEAST_MISSED, RetentionVerbs
from workhorse.store.verbs.supervisor import SupervisorVerbs

CLIENTS: Final = 4
"""Most connections of one process that enqueue, look and change."""


class PostgresStore(PostgresClientVerbs, ChildVerbs, SupervisorVerbs, RetentionVerbs, HealthVerbs):
    """`workhorse.store.protocol.Store` on PostgreSQL 14 or later, for any number of hosts.

    Opening reaches the server once, and checks the schema unless `migrating`; it never changes
    it. Claims, the lease and everything else have connections of their own, made when first used.
    """

    _db: Database

    def __init__(self, place: Place, *, migrating: bool = False) -> None:
        self.place = place
        self.url = place.shown
        self._db = Database(place, "client", size=CLIENTS)
        self._claims = Database(place, "claims", size=3, fresh_plans=True)
        self._lease = Database(place, "lease", size=1)
        self._position = Position()
        self._held_up = frozenset()
        self._ringing = Ringing()
        self._measure = Measure(LEAST_MISSED)
        self._registered = {}
        try:
            if not migrating:
                with self._db.connection() as connection:
                    migrate.check(connection, place)
        except BaseException:
            self.close()
            raise

    @property
    def run_dir(self) -> Path | None:
        """The folder where this host's processes meet; None when it cannot be had."""
        folder = self.place.run_dir
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            mine = folder.parent.stat().st_uid == os.getuid() and not folder.parent.is_symlink()
        except OSError:
            return None
        return folder if mine else None

    def migrate(self) -> Sequence[str]:
        with self._db.connection() as connection:
            return migrate.migrate(connection, self.place)

    def listen(self, heard: Callable[[str], None], *, url: str | None = None) -> Listener | None:
        if url is not None:
            return Listener(listening(self.place, url), heard, self._ring_for)
        with self._db.connection() as connection:
            if connection.pooled:
                log.warning("not listening: this worker polls", reason=POOLED)
                return None
        return Listener(self.place, heard, self._ring_for)

    def _renew(self, **parameters: Any) -> bool:
        return self._lease.once("workers.renew", **parameters).rowcount == 1

    def tidy(self) -> None:
        """Nothing to do here: autovacuum does it."""
        with self._db.connection():
            return

    def whole(self) -> AbstractContextManager[PostgresWhole]:
        return alone(self._db)

    def close(self) -> None:
        for database in (self._db, self._claims, self._lease):
            database.close()

    def _settle(self, tx: PostgresTransaction, worker: int, settled: Sequence[Settled]) -> int:
        ours = free(tx, settled)
        settle(tx, worker, [one for one in settled if one.id in ours])
        return len(ours)

    def _unblock_after(self, tx: PostgresTransaction, succeeded: Sequence[int]) -> int:
        return unblock_after(tx, succeeded)
