"""The store of one SQLite file: the whole protocol, put together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from workhorse.store.sqlite import migrate
from workhorse.store.sqlite.client import ClientVerbs
from workhorse.store.sqlite.clock import Clock, HostClock, clamped
from workhorse.store.sqlite.connection import Database
from workhorse.store.sqlite.health import HealthVerbs
from workhorse.store.sqlite.retention import RetentionVerbs
from workhorse.store.sqlite.statements import statements
from workhorse.store.sqlite.supervisor import SupervisorVerbs
from workhorse.store.sqlite.worker import WorkerVerbs

EVENTS: Final = statements("events")


class SqliteStore(ClientVerbs, WorkerVerbs, SupervisorVerbs, RetentionVerbs, HealthVerbs):
    """`workhorse.store.protocol.Store` on one SQLite file, for the processes of one host.

    Opening creates the file (mode 0600) and its folder when they are missing, and brings the
    schema up to date. `durability` is ``full`` (a commit is on the disk) or ``normal`` (a
    commit survives the process, the last ones perhaps not a power cut). `clock` gives
    milliseconds since 1970 UTC; the default is the host's, which here never goes back.
    """

    def __init__(
        self, path: Path | str, *, durability: str = "full", clock: Clock | None = None
    ) -> None:
        path = Path(path).absolute()
        database = Database(path, durability=durability)
        super().__init__(database, HostClock() if clock is None else clamped(clock))
        self.url = f"sqlite:///{path}"
        try:
            self.migrate()
            self._catch_up()
        except BaseException:
            database.close()
            raise

    @property
    def run_dir(self) -> Path | None:
        return self._db.run_dir

    def migrate(self) -> Sequence[str]:
        return self._db.exclusively(migrate.migrate)

    def close(self) -> None:
        self._db.close()

    def _catch_up(self) -> None:
        """Never show an instant before the newest one the store has seen."""
        if isinstance(self._clock, HostClock):
            ((latest,),) = self._db.read(EVENTS["latest"])
            self._clock.not_before(latest)
