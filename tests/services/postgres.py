"""PostgreSQL for tests: a cluster of its own per test process, started in a second.

It listens on loopback, or on a host of a `Network`, and on a socket in its home. Everybody on those
may come in without a password, but for the role `SCRAM`, which needs one.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import signal
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, LiteralString, Self
from urllib.parse import quote

import psycopg
from psycopg.sql import SQL, Identifier

from tests.services import binaries
from tests.services.network import Host
from tests.services.ports import LOOPBACK, on_free_port
from tests.services.process import Process, account, give

SUPERUSER: Final = "postgres"
SCRAM: Final = ("scram", "p@ss/word:%")
"""A superuser that must give its password, which a URL has to quote."""

_MODES: Final = {
    "smart": signal.SIGTERM,
    "fast": signal.SIGINT,
    "immediate": signal.SIGQUIT,
}
_ACCESS: Final = f"""\
local all all trust
local replication all trust
host all {SCRAM[0]} all scram-sha-256
host all all samenet trust
"""
_ROOM: Final = 4 << 30
"""Bytes that must be free in memory for a cluster to be kept there."""
_MEMORY: Final = Path("/dev/shm")


@dataclass(frozen=True, slots=True)
class Database:
    """One database of a cluster."""

    cluster: Cluster
    name: str

    @property
    def url(self) -> str:
        return self.cluster.url(self.name)

    def sql(self, text: LiteralString, *values: Any) -> list[tuple[Any, ...]]:
        """Run one statement as the superuser, and return its rows."""
        return self.cluster.sql(text, *values, database=self.name)

    def waits_for_a_lock(self) -> int:
        """Return how many here wait for what another transaction keeps."""
        waiting = self.sql(
            "select 1 from pg_stat_activity"
            " where datname = current_database() and wait_event_type = 'Lock'"
        )
        return len(waiting)


class Cluster:
    """A PostgreSQL server with its data. A context manager: entered it runs, left it is gone.

    `version` is one of `binaries.VERSIONS`; `settings` go into postgresql.conf. `where` is the
    folder its data is put under: without one they are in memory if there is room, which is twenty
    times as fast and all the same to whoever kills processes; name a disk to measure. `host` is
    where it listens instead of loopback. With `follows` it is that cluster's standby, which takes
    over when told to `promote`.
    """

    def __init__(
        self,
        version: str,
        *,
        where: Path | None = None,
        fsync: bool = True,
        settings: Mapping[str, str] | None = None,
        host: Host | None = None,
        follows: Cluster | None = None,
    ) -> None:
        self.version = version
        self.port = 0
        self.home: Path
        """Where its socket, its log and, unless told otherwise, its data are."""
        self._data: Path
        self._folders: list[Path] = []
        self._programs: Path
        self._where = where
        self._host = host
        self._follows = follows
        self._address = host.address if host else LOOPBACK
        self._settings = {"fsync": "on" if fsync else "off"} | dict(settings or {})
        self._user = account()
        self._names = itertools.count(1)
        self._process: Process | None = None

    @property
    def log(self) -> Path:
        return self.home / "log"

    # ── life ────────────────────────────────────────────────────────────────────────────────────

    @property
    def pid(self) -> int:
        """The postmaster's."""
        assert self._process is not None, "not running"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether there is a postmaster; it may have ended by itself."""
        return self._process is not None and self._process.is_alive

    def start(self) -> None:
        """Start it, and return when it answers. Where it runs already this is nothing."""
        if not self.is_running:
            self.stop()  # one that has ended by itself is let go of
            self._start(self.port)

    def stop(self, mode: str = "fast") -> None:
        """Stop it: "smart", "fast", or "immediate", which its data cannot tell from a crash."""
        if self._process is not None:
            self._process.send(_MODES[mode])
            self._process.wait()

    def catch_up(self) -> None:
        """Wait until this standby has all that the cluster it follows has written."""
        assert self._follows is not None, "it follows nobody"
        assert self._process is not None, "not running"
        ((end,),) = self._follows.sql("select pg_switch_wal()::text")
        there = "select pg_last_wal_replay_lsn() >= %s::pg_lsn"
        self._process.until(lambda: self.sql(there, end) == [(True,)])

    def fall_behind(self) -> None:
        """Have this standby hear nothing more of the cluster it follows."""
        assert self._process is not None, "not running"
        self.sql("alter system set primary_conninfo = ''")
        self.sql("select pg_reload_conf()")
        self._process.until(lambda: not self.sql("select from pg_stat_wal_receiver"))

    def promote(self) -> None:
        """Have this standby take writes from now on."""
        assert self.sql("select pg_promote()") == [(True,)]

    def restart(self, mode: str = "fast") -> None:
        self.stop(mode)
        self.start()

    def __enter__(self) -> Self:
        try:
            self._create()
        except BaseException:
            self._destroy()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._destroy()

    # ── use ─────────────────────────────────────────────────────────────────────────────────────

    def url(self, database: str = SUPERUSER, *, user: str = SUPERUSER, password: str = "") -> str:
        """Return where a database is, over TCP."""
        secret = f":{quote(password, safe='')}" if password else ""
        return f"postgresql://{user}{secret}@{self._address}:{self.port}/{database}"

    def socket_url(self, database: str = SUPERUSER, *, user: str = SUPERUSER) -> str:
        """Return where a database is, over the socket: from any network namespace."""
        return self._socket(self.port, database, user)

    def sql(
        self, text: LiteralString | psycopg.sql.Composed, *values: Any, database: str = SUPERUSER
    ) -> list[tuple[Any, ...]]:
        """Run one statement as the superuser, in no transaction, and return its rows."""
        with psycopg.connect(self.socket_url(database), autocommit=True) as connection:
            cursor = connection.execute(text, values or None)
            return cursor.fetchall() if cursor.description else []

    def create_database(self, name: str = "", *, template: str = "template1") -> Database:
        """Create a database like `template`, which nobody may be connected to."""
        name = name or f"test_{next(self._names)}"
        # To copy its files is twice as fast as to log its pages, where both are in memory.
        create = SQL("create database {} template {} strategy file_copy")
        self.sql(create.format(Identifier(name), Identifier(template)))
        return Database(self, name)

    def has_database(self, name: str) -> bool:
        return bool(self.sql("select 1 from pg_database where datname = %s", name))

    def drop_database(self, name: str) -> None:
        """Drop it, whoever is connected."""
        self.sql(SQL("drop database if exists {} with (force)").format(Identifier(name)))

    def terminate_backends(self, database: str | None = None) -> int:
        """Terminate every client's connection, or those to one database; return how many."""
        ended = self.sql(
            """
            select pg_terminate_backend(pid) from pg_stat_activity
             where backend_type = 'client backend' and pid <> pg_backend_pid()
               and datname = coalesce(%s, datname)
            """,
            database,
        )
        return len(ended)

    def log_statements(self, database: str) -> None:
        """Write the statements of a database to the log, from the next connection to it on."""
        alter = SQL("alter database {} set log_statement = 'all'")
        self.sql(alter.format(Identifier(database)))

    def statements(self, database: str) -> list[str]:
        """Return the statements of a database that were logged so far, in order."""
        entry = re.compile(
            rf"^\S+ \S+ \S+ \[\d+\] {re.escape(database)} LOG:  (?:statement|execute [^:]*): "
            r"(.*\n(?:\t.*\n)*)",
            re.MULTILINE,
        )
        found = entry.findall(self.log.read_text(errors="replace"))
        return [text.strip().replace("\n\t", "\n") for text in found]

    # ── making ──────────────────────────────────────────────────────────────────────────────────

    def _create(self) -> None:
        self.home = self._folder(Path("/tmp"))
        self._data = self._folder(self._where or _room(self.home))
        self._data.chmod(0o700)
        programs = binaries.postgres(self.version)
        assert programs is not None, f"PostgreSQL {self.version} is not installed"
        self._programs = binaries.reachable(programs, self._user, self.home)
        made = self._fill().wait()
        assert made == 0, self.log.read_text()
        with (self._data / "postgresql.conf").open("a") as config:
            config.writelines(f"{name} = '{value}'\n" for name, value in self._config().items())
        (self._data / "pg_hba.conf").write_text(_ACCESS)
        self.port = on_free_port(self._start)
        if self._follows is None:
            role = SQL("create role {} superuser login password {}")
            self.sql(role.format(Identifier(SCRAM[0]), SCRAM[1]))

    def _fill(self) -> Process:
        """Begin to make its data: none yet, or those of the cluster it follows."""
        if self._follows is None:
            options = ["--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"]
            return self._run("initdb", "-D", self._data, "-U", SUPERUSER, *options)
        options = ["--no-sync", "--checkpoint=fast", "--write-recovery-conf"]
        source = self._follows.socket_url()
        return self._run("pg_basebackup", "-D", self._data, "--dbname", source, *options)

    def _config(self) -> dict[str, str]:
        """Return postgresql.conf: the defaults, but what tests need otherwise."""
        return {
            "listen_addresses": self._address,
            "unix_socket_directories": str(self.home),
            "max_connections": "200",
            "max_wal_size": "256MB",
            "shared_buffers": "32MB",
            "shared_preload_libraries": self._library("pg_stat_statements"),
            "log_line_prefix": "%m [%p] %d ",
            **self._settings,
        }

    def _start(self, port: int) -> None:
        self._process = self._run("postgres", "-D", self._data, "-p", str(port))
        self._process.until(lambda: _answers(self._socket(port)))

    def _socket(self, port: int, database: str = SUPERUSER, user: str = SUPERUSER) -> str:
        return f"postgresql://{user}@/{database}?host={self.home}&port={port}"

    def _run(self, program: str, *options: str | Path) -> Process:
        return Process(
            [self._programs / program, *options],
            folder=self.home,
            log=self.log,
            user=self._user,
            within=self._host.inside() if self._host else (),
            farewell=_MODES["immediate"],
            remove=self._folders,
        )

    def _folder(self, parent: Path) -> Path:
        """Make a folder for the server; it is gone when the cluster is."""
        folder = Path(tempfile.mkdtemp(prefix=f"workhorse-pg{self.version}-", dir=parent))
        self._folders.append(folder)
        give(folder, self._user)
        return folder

    def _destroy(self) -> None:
        self.stop("immediate")
        for folder in self._folders:
            shutil.rmtree(folder, ignore_errors=True)

    def _library(self, name: str) -> str:
        """Return its name if this installation has it, or else nothing."""
        return name if any(self._programs.parent.glob(f"lib/**/{name}.so")) else ""


def _room(home: Path) -> Path:
    """Return where data is put when nobody minds: in memory, if there is enough."""
    try:
        free = os.statvfs(_MEMORY)
    except OSError:
        return home
    return _MEMORY if free.f_bavail * free.f_frsize >= _ROOM else home


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True
