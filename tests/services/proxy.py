"""A TCP proxy on loopback that does to PostgreSQL's connections what networks do.

It relays until it is told otherwise; what it is told holds for the connections there are and for
new ones. It is a thread of the test, so it ends with it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from tests.scenarios.facts import PATIENCE
from tests.services.ports import LOOPBACK
from tests.services.relay import End, Orders, Relay, Trap


class Proxy:
    """Stands between clients and the server of a URL. A context manager.

    Clients come by it when they connect to what `through` makes of their URL. It declines TLS.
    """

    def __init__(self, url: str) -> None:
        there = urlsplit(url)
        self.port = 0
        self._server = (there.hostname or LOOPBACK, there.port or 5432)
        self._orders = Orders()
        self._relays: set[Relay] = set()
        self._reaching: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._is_up = threading.Event()
        self._thread = threading.Thread(target=self._run, name="proxy")

    def through(self, url: str) -> str:
        """Return the URL that leads to the same database by this proxy."""
        there = urlsplit(url)
        account, at, _ = there.netloc.rpartition("@")
        return there._replace(netloc=f"{account}{at}{LOOPBACK}:{self.port}").geturl()

    @property
    def connections(self) -> int:
        """How many there are."""
        return len(self._relays)

    # ── what it is told ─────────────────────────────────────────────────────────────────────────

    def heal(self) -> None:
        """Relay again, at once; what was held back comes through."""
        self._tell(self._heal)

    def stall(self) -> None:
        """Take everything in, relay nothing, close nothing: a network that lost its way."""
        self._tell(self._stall)

    def cut(self) -> None:
        """Reset every connection, and each new one, until healed."""
        self._tell(self._cut)

    def delay(self, seconds: float) -> None:
        """Relay everything so much later, in each direction."""
        self._orders.latency = seconds

    def cut_after(self, sql: str, *, nth: int = 1) -> threading.Event:
        """Reset the connection on which the nth statement from now that contains `sql` is run.

        The server is given the statement and has done it; the client hears nothing of that. Case
        is ignored; "" is in every statement. The event that is returned tells that it is done.
        """
        trap = self._orders.trap = Trap(sql.casefold(), nth)
        return trap.sprung

    # ── how it is done ──────────────────────────────────────────────────────────────────────────

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._is_up.wait(PATIENCE), "the proxy did not start"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._tell(self._over.set)
        self._thread.join(PATIENCE)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        server = await self._loop.create_server(self._meet, LOOPBACK, 0)
        self.port = server.sockets[0].getsockname()[1]
        self._is_up.set()
        await self._over.wait()
        server.close()
        self._cut()
        await asyncio.sleep(0)  # in which the sockets are closed

    def _meet(self) -> End:
        """Begin a relay for a client that has just come, and return its end."""
        relay = Relay(self._orders, self._relays.discard)
        self._relays.add(relay)
        reach = self._loop.create_task(self._reach(relay))
        self._reaching.add(reach)
        reach.add_done_callback(self._reaching.discard)
        return relay.client

    async def _reach(self, relay: Relay) -> None:
        """Connect a client to the server, unless that is out of reach."""
        try:
            if self._orders.is_cut:
                raise ConnectionRefusedError
            await self._loop.create_connection(lambda: relay.server, *self._server)
        except OSError:
            relay.reset()
            self._relays.discard(relay)

    def _heal(self) -> None:
        self._orders.is_cut = False
        self._orders.is_open = True
        self._orders.latency = 0
        for relay in self._relays:
            relay.hurry()

    def _stall(self) -> None:
        self._orders.is_open = False

    def _cut(self) -> None:
        self._orders.is_cut = True
        for relay in self._relays:
            relay.reset()

    def _tell(self, act: Callable[[], None]) -> None:
        """Do it in the loop's thread; return when it is done."""

        async def told() -> None:
            act()

        asyncio.run_coroutine_threadsafe(told(), self._loop).result(PATIENCE)
