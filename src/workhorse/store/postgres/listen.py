"""The bell: hearing, on a connection of its own, that another process has enqueued something.

A ring is a hint. The listener proves to itself now and then that it still hears, by a ring of its
own, which goes where those of clients go: through the store. One that has gone deaf (a dropped
connection, a pooler between) or always was (another database) is replaced, and meanwhile `hears` is
False, so that its worker polls.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final, TypeAlias

import psycopg
from psycopg import sql

from workhorse.domain.errors import Unavailable, WorkhorseError
from workhorse.domain.retry import OUTAGE
from workhorse.logs import log
from workhorse.store.postgres.connection import Connection, connect
from workhorse.store.postgres.failures import cannot_connect
from workhorse.store.postgres.url import Place, parse

TEST_EVERY: Final = 15.0
"""Seconds of silence after which a listener rings for itself."""
TEST_PATIENCE: Final = 5.0
"""Seconds within which it must hear that."""
SLICE: Final = 1.0
"""Seconds after which it looks whether it was closed."""

_TEST: Final = "?"
"""Begins the message of a listener to itself: no queue has such a name."""

Heard: TypeAlias = Callable[[str], None]
Ring: TypeAlias = Callable[[str], object]
"""Rings as a client of the store does."""


def listening(place: Place, url: str) -> Place:
    """Return where `url` leads, to be listened at for the store at `place`."""
    return replace(parse(url), schema=place.schema)


def deafness(place: Place, ring: Ring) -> str | None:
    """Return why what is rung by `ring` is not heard at `place`; None when it is."""
    try:
        with connect(place.conninfo, name="workhorse doctor") as connection:
            ear = Ear(connection, place, lambda _: None)
            ear.test(ring)
    except (psycopg.Error, WorkhorseError) as error:
        return _words(error, place)
    return None


class Ear:
    """A connection that listens at `place`, and passes on what it hears until it is `over`."""

    def __init__(
        self,
        connection: Connection,
        place: Place,
        heard: Heard,
        over: threading.Event | None = None,
    ) -> None:
        self._connection = connection
        self._place = place
        self._heard = heard
        self._over = over or threading.Event()
        if not connection.pooled:
            connection.execute("select set_config('idle_session_timeout', '0', false)")
        channel = sql.Identifier(place.channel)
        connection.execute(sql.SQL("listen {}").format(channel), prepare=False)

    def test(self, ring: Ring) -> None:
        """Raise `Unavailable`, or `psycopg.Error`, unless what is rung by `ring` is heard."""
        token = f"{_TEST}{random.getrandbits(64):x}"
        ring(token)
        if self.hear(TEST_PATIENCE, until=token):
            return
        self._connection.execute("select")  # raises when it is silent because it is lost
        why = (
            "a pooler stands between"
            if self._connection.pooled
            else "it is not the database of the store"
        )
        raise Unavailable(f"No ring is heard at {self._place.shown}: {why}.")

    def hear(self, seconds: float, until: str | None = None) -> bool:
        """Pass on what is heard for some seconds; True as soon as `until` was heard."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not self._over.is_set():
            for rung in self._connection.notifies(timeout=min(left, SLICE)):
                if rung.payload == until:
                    return True
                if not rung.payload.startswith(_TEST):
                    self._heard(rung.payload)
        return False


class Listener:
    """Calls `heard(queue)`, on a thread of its own, whenever somebody rings."""

    def __init__(self, place: Place, heard: Heard, ring: Ring) -> None:
        """Begin to listen at `place`, which must be the server itself, not a pooler."""
        self.hears = False
        """Whether a ring would be heard now, as far as one can know."""
        self._place = place
        self._heard = heard
        self._ring = ring
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
                with connect(self._place.anew().conninfo, name="workhorse listener") as connection:
                    self._listen(Ear(connection, self._place, self._heard, self._over))
            except (psycopg.Error, WorkhorseError) as error:
                failures = 1 if self.hears else failures + 1
                if failures == 1 and not self._over.is_set():
                    reason = _words(error, self._place)
                    log.warning("not listening: this worker polls", reason=reason)
            self.hears = False
            self._over.wait(OUTAGE.delay(failures, random.random()))

    def _listen(self, ear: Ear) -> None:
        """Listen until closed. Raises what `Ear.test` does when it is deaf."""
        while not self._over.is_set():
            ear.test(self._ring)
            if not self.hears:
                self.hears = True
                self._heard("")  # what was rung before may have been missed
            ear.hear(random.uniform(0.8, 1.0) * TEST_EVERY)


def _words(error: psycopg.Error | WorkhorseError, place: Place) -> str:
    if isinstance(error, psycopg.Error):
        error = cannot_connect(error, place.shown)
    return error.message
