"""The bell: hearing, on a connection of its own, that another process has enqueued something.

A ring is a hint. The listener proves to itself now and then that it still hears, by ringing itself;
one that has gone deaf (a dropped connection, a pooler between) is replaced, and meanwhile
`hears` is False, so that its worker polls.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Final

import psycopg
import structlog
from psycopg import sql

from workhorse.domain.retry import OUTAGE
from workhorse.store.postgres.connection import Connection, connect
from workhorse.store.postgres.failures import cannot_connect
from workhorse.store.postgres.url import Place

log = structlog.get_logger("workhorse.listener")

TEST_EVERY: Final = 15.0
"""Seconds of silence after which a listener rings itself."""
TEST_PATIENCE: Final = 5.0
"""Seconds within which it must hear that."""
SLICE: Final = 1.0
"""Seconds after which it looks whether it was closed."""

_TEST: Final = "?"
"""Begins the message of a listener to itself: no queue has such a name."""


class Listener:
    """Calls `heard(queue)`, on a thread of its own, whenever somebody rings."""

    def __init__(self, place: Place, heard: Callable[[str], None]) -> None:
        """Begin to listen at `place`, which must be the server itself, not a pooler."""
        self.hears = False
        """Whether a ring would be heard now, as far as one can know."""
        self._place = place
        self._heard = heard
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="workhorse-listen", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening. Idempotent."""
        self._over.set()
        self._thread.join(2 * SLICE)

    def _keep(self) -> None:
        """Listen, and again after every failure; the first of a row is told of."""
        failures = 0
        while not self._over.is_set():
            try:
                with connect(self._place.conninfo, name="workhorse listener") as connection:
                    self._listen(connection)
            except psycopg.Error as error:
                failures = 1 if self.hears else failures + 1
                if failures == 1 and not self._over.is_set():
                    reason = cannot_connect(error, self._place.shown).message
                    log.warning("not listening: this worker polls", reason=reason)
            self.hears = False
            self._over.wait(OUTAGE.delay(failures, random.random()))

    def _listen(self, connection: Connection) -> None:
        """Listen until closed. Raises `psycopg.Error` when the connection fails, or is deaf."""
        channel = sql.Identifier(self._place.channel)
        connection.execute(sql.SQL("listen {}").format(channel), prepare=False)
        while not self._over.is_set():
            token = f"{_TEST}{random.getrandbits(64):x}"
            connection.execute("select pg_notify(%s, %s)", (self._place.channel, token))
            if not self._hear(connection, TEST_PATIENCE, until=token):
                raise psycopg.OperationalError("its own ring was not heard: a pooler between?")
            if not self.hears:
                self.hears = True
                self._heard("")  # what was rung before may have been missed
            self._hear(connection, random.uniform(0.8, 1.0) * TEST_EVERY)

    def _hear(self, connection: Connection, seconds: float, until: str | None = None) -> bool:
        """Pass on what is heard for some seconds; True as soon as `until` was heard."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not self._over.is_set():
            for ring in connection.notifies(timeout=min(left, SLICE)):
                if ring.payload == until:
                    return True
                if not ring.payload.startswith(_TEST):
                    self._heard(ring.payload)
        return False
