"""PgBouncer for tests, in front of a cluster: in transaction mode, unless told otherwise."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, LiteralString, Self

import psycopg

from tests.services import binaries
from tests.services.ports import LOOPBACK, on_free_port
from tests.services.postgres import SUPERUSER, Cluster
from tests.services.process import Process, account, give

_CONFIG: Final = """\
[databases]
* = host={cluster.home} port={cluster.port}

[pgbouncer]
listen_addr = {address}
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {home}/users
admin_users = {superuser}
pool_mode = {mode}
default_pool_size = {pool_size}
max_client_conn = 500
server_login_retry = {login_retry}
"""
LOGIN_RETRY: Final = 1
"""A pooler that could not log in at the server lets nobody in for so many seconds, as the guide
wants it; its default is 15."""


class PgBouncer:
    """A pooler that lends a client a server connection for one transaction at a time.

    `mode` is its pool_mode, if another. What else Debian's package leaves at its default is so here
    too. `users` may come in, without a password. A context manager: entered it runs, left it is
    gone.
    """

    def __init__(
        self,
        cluster: Cluster,
        *,
        users: Iterable[str] = (SUPERUSER,),
        pool_size: int = 20,
        mode: str = "transaction",
    ) -> None:
        self.port = 0
        self._cluster = cluster
        self._users = tuple(users)
        self._pool_size = pool_size
        self._mode = mode
        self._home: Path
        self._process: Process | None = None

    def url(self, database: str, *, user: str = SUPERUSER) -> str:
        return f"postgresql://{user}@{LOOPBACK}:{self.port}/{database}"

    def admin(self, command: LiteralString) -> list[tuple[Any, ...]]:
        """Run a command of its console, such as ``show pools`` or ``pause``; return the rows."""
        with psycopg.connect(self.url("pgbouncer"), autocommit=True) as connection:
            cursor = connection.execute(command)
            return cursor.fetchall() if cursor.description else []

    def __enter__(self) -> Self:
        self._home = Path(tempfile.mkdtemp(prefix="workhorse-pgbouncer-", dir="/tmp"))
        try:
            give(self._home, account())
            (self._home / "users").write_text("".join(f'"{user}" ""\n' for user in self._users))
            self.port = on_free_port(self._start)
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._remove()

    def _start(self, port: int) -> None:
        program = binaries.pgbouncer()
        assert program is not None, "PgBouncer is not installed"
        config = self._home / "pgbouncer.ini"
        config.write_text(
            _CONFIG.format(
                cluster=self._cluster,
                address=LOOPBACK,
                port=port,
                home=self._home,
                login_retry=LOGIN_RETRY,
                superuser=SUPERUSER,
                pool_size=self._pool_size,
                mode=self._mode,
            )
        )
        log = self._home / "log"
        self._process = Process(
            [program, config],
            folder=self._home,
            log=log,
            user=account(),
            remove=(self._home,),
        )
        self._process.until(lambda: "process up" in log.read_text())

    def _remove(self) -> None:
        if self._process is not None:
            self._process.kill()
        shutil.rmtree(self._home, ignore_errors=True)
