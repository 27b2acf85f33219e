"""The store of one SQLite file: the whole protocol, put together."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from workhorse.domain.errors import ConfigurationError
from workhorse.store.protocol import Settled
from workhorse.store.sqlite import migrate
from workhorse.store.sqlite.child import ChildVerbs
from workhorse.store.sqlite.client import SqliteClientVerbs
from workhorse.store.sqlite.clock import Clock, HostClock, clamped
from workhorse.store.sqlite.database import Database
from workhorse.store.sqlite.health import HealthVerbs
from workhorse.store.sqlite.settling import settle, unblock_after
from workhorse.store.sqlite.transaction import SqliteTransaction, SqliteWhole
from workhorse.store.verbs.measuring import Measure
from workhorse.store.verbs.retention import LEAST_MISSED, RetentionVerbs
from workhorse.store.verbs.supervisor import SupervisorVerbs


class SqliteStore(SqliteClientVerbs, ChildVerbs, SupervisorVerbs, RetentionVerbs, HealthVerbs):
    """`workhorse.store.protocol.Store` on one SQLite file, for the processes of one host.

    Opening creates the file (mode 0600) and its folder when they are missing, and brings the
    schema up to date. Raises `ConfigurationError` for a file that has tables of somebody else's
    and none of ours, unless it is to `adopt` it. `durability` is ``full`` (a commit is on the
    disk) or ``normal`` (a commit survives the process, the last ones perhaps not a power cut).
    `clock` gives milliseconds since 1970 UTC; the default is the host's, which here never goes
    back. A store that is let go of without `close` keeps nothing open.
    """

    _db: Database

    def __init__(
        self,
        path: Path | str,
        *,
        durability: str = "full",
        clock: Clock | None = None,
        adopt: bool = False,
    ) -> None:
        path = Path(path).absolute()
        host_clock = HostClock()
        self._db = Database(
            path, host_clock if clock is None else clamped(clock), durability=durability
        )
        self._registered = {}
        self.url = f"sqlite:///{path}"
        self._measure = Measure(LEAST_MISSED)
        try:
            if not adopt:
                self._refuse_a_stranger()
            self.migrate()
            self._db.file.remember()
            if clock is None:  # never show an instant before the newest one the store has seen
                ((latest,),) = self._db.read("events.latest")
                host_clock.not_before(latest)
        except BaseException:
            self._db.close()
            raise
        weakref.finalize(self, self._db.let_go).atexit = False

    @property
    def run_dir(self) -> Path | None:
        return self._db.file.run_dir

    def _refuse_a_stranger(self) -> None:
        if self._db.size() and (found := self._db.read("health.stranger")):
            taken = self._db.read("health.taken", names=migrate.names())
            migrate.refuse_taken(self._db.path, taken)
            raise ConfigurationError(
                f"{self._db.path} is not a Workhorse store, but has a table {found[0][0]!r}.",
                hint="To keep jobs beside what is in it, run `workhorse migrate` for it once.",
            )

    def migrate(self) -> Sequence[str]:
        return self._db.exclusively(migrate.migrate)

    def listen(self, heard: Callable[[str], None], *, url: str | None = None) -> None:
        """There is nothing to hear: the run folder's sockets reach every process of the host."""

    def tidy(self) -> None:
        self._db.tidy()

    def whole(self) -> AbstractContextManager[SqliteWhole]:
        return self._db.whole()

    def close(self) -> None:
        self._db.close()

    def _settle(self, tx: SqliteTransaction, worker: int, settled: Sequence[Settled]) -> int:
        settle(tx, worker, settled)
        return len(settled)

    def _unblock_after(self, tx: SqliteTransaction, succeeded: Sequence[int]) -> int:
        return unblock_after(tx, succeeded)[0]
