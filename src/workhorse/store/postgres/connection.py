"""A connection that cannot hang: each operation has a deadline, then the socket is dropped."""

from __future__ import annotations

import math
import select
import time
from contextlib import suppress
from typing import Any, Final, TypeVar

import psycopg
from psycopg import capabilities
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from workhorse.store.postgres.url import servers_of
from workhorse.store.postgres.values import PLAIN

T = TypeVar("T")

PATIENCE: Final = 10.0
"""Longest wait for an answer to one operation, in seconds. The server gives up before that, so
that what it was too slow for is known to be undone."""
CANCEL_PATIENCE: Final = 1.0
"""How much of that is left to tell a server to give up that has no limits of its own, as behind a
pooler, in seconds."""
CONNECT_PATIENCE: Final = 5
LEAST_PATIENCE: Final = 2
"""With less time left, in seconds, it is not worth connecting."""
KEEPALIVES: Final = {
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}

_GREETING: Final = """
    select pg_backend_pid(),
           case when pg_backend_pid() = %(pid)s then
               set_config('default_transaction_isolation', 'read committed', false)
               || set_config('statement_timeout', '8s', false)
               || set_config('lock_timeout', '5s', false)
               || set_config('idle_in_transaction_session_timeout', '15s', false)
               || set_config('plan_cache_mode', %(plans)s, false)
           end
"""


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection in autocommit whose every operation ends within its `patience`.

    A server that stopped to answer without closing (a cut cable, a stalled proxy) is met by the
    deadline: the connection is closed, and its user gets an `OperationalError`.
    """

    pooled = False
    """Whether a pooler stands between: then nothing may be prepared or set for the session."""
    incoming: select.poll
    """Tells whether there is something to read."""
    prepared: set[bytes]
    """The names of the statements prepared past the driver, which may have let go of them."""
    patience = PATIENCE
    """Longest wait for an answer to one operation, in seconds."""
    answer_by = math.inf
    """The instant by which its borrower, who has waited for it already, needs the first answer."""

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        if timeout is not None:
            return super().wait(gen, interval, timeout)
        try:
            answer = super().wait(gen, interval, self.left())
        except psycopg.errors._WaitTimeout:  # noqa: SLF001 - the driver asks its users to handle it
            raise self.given_up() from None
        self.answer_by = math.inf
        return answer

    def left(self) -> float:
        """Return for how many seconds the next answer is waited for."""
        left = min(self.patience, self.answer_by - time.monotonic())
        return max(0.0, left - CANCEL_PATIENCE if self.pooled else left)

    def given_up(self) -> psycopg.OperationalError:
        """Close the connection, and return what its user is told: it has waited long enough.

        Behind a pooler, where nothing could be set for the session, the server would go on with
        what it was asked, and wait for a lock however long.
        """
        if self.pooled and capabilities.has_cancel_safe():  # else it may block for minutes
            with suppress(psycopg.Error):
                self.cancel_safe(timeout=CANCEL_PATIENCE)
        self.pgconn.finish()
        return psycopg.OperationalError(f"no answer within {self.patience:g} s")

    def is_fresh(self) -> bool:
        """Tell whether nothing came in while it idled; what comes then is the server's goodbye."""
        if self.closed:
            return False
        return not self.incoming.poll(0)


def connect(url: str, *, name: str, by: float = math.inf, fresh_plans: bool = False) -> Connection:
    """Return a new connection, which is there by an instant of the monotonic clock.

    Of several servers it is to the one that takes writes, unless the URL wants another. Raises
    `psycopg.OperationalError` when there is none to be had.
    With `fresh_plans` each statement is planned for the table as it is: a hot table may have been
    empty when a plan was made, and hold a million rows when it is used.
    """
    left = min(CONNECT_PATIENCE, by - time.monotonic())
    if left < LEAST_PATIENCE:
        raise psycopg.OperationalError("no time left to connect")
    settings = conninfo_to_dict(url) | servers_of(url)
    servers = str(settings.get("host") or settings.get("hostaddr", "")).count(",") + 1
    if servers > 1:
        settings.setdefault("target_session_attrs", "primary")
    settings |= KEEPALIVES | {
        "connect_timeout": max(LEAST_PATIENCE, int(left / servers)),
        "application_name": name,
        "client_encoding": "UTF8",  # whatever the database, the role or PGCLIENTENCODING would have
    }
    conninfo = make_conninfo("", **settings)
    connection = Connection.connect(
        conninfo, autocommit=True, prepare_threshold=None, context=PLAIN
    )
    connection.answer_by = by
    try:
        connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        pid = connection.info.backend_pid
        plans = "force_custom_plan" if fresh_plans else "auto"
        found = connection.execute(_GREETING, {"pid": pid, "plans": plans}).fetchone()
        assert found is not None
        connection.pooled = found[0] != pid
        connection.prepared = set()
        connection.incoming = select.poll()
        connection.incoming.register(connection.pgconn.socket, select.POLLIN)
        connection.prepare_threshold = None if connection.pooled else 0
    except BaseException:
        connection.close()
        raise
    return connection
