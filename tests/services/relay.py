"""One connection through the proxy: two ends, and a lane to each.

An end takes in whatever it is sent, so that its peer sees it acknowledged; whether it goes on is
up to the orders.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from tests.services.wire import Conversation, Messages, is_encryption_request

_RESET: Final = struct.pack("ii", 1, 0)
"""The SO_LINGER of a socket that is reset, not closed."""
_BRING_THE_DATA: Final = b"G"
"""The server's word that COPY may begin: an answer without which nothing goes on."""


@dataclass
class Trap:
    """Waits for the nth statement that contains `sql`."""

    sql: str
    nth: int
    sprung: threading.Event = field(default_factory=threading.Event)


@dataclass
class Orders:
    """What the proxy was told to do."""

    is_open: bool = True
    is_cut: bool = False
    latency: float = 0
    trap: Trap | None = None

    def springs(self, sql: str) -> Trap | None:
        """Return the trap, which is then no more, when it is this statement it waits for."""
        trap = self.trap
        if trap is None or trap.sql not in sql.casefold():
            return None
        trap.nth -= 1
        if trap.nth:
            return None
        self.trap = None
        return trap


class End(asyncio.Protocol):
    """One end of a relay, and the lane that leads to it."""

    def __init__(
        self, orders: Orders, take: Callable[[bytes], None], closed: Callable[[], None]
    ) -> None:
        self._orders = orders
        self._take = take
        self._closed = closed
        self._transport: asyncio.Transport | None = None
        self._lane: deque[tuple[float, bytes | None]] = deque()
        self._is_reset = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if self._is_reset:
            self.reset()
        self.flush()

    def data_received(self, data: bytes) -> None:
        self._take(data)

    def connection_lost(self, error: Exception | None) -> None:
        self._closed()

    def send(self, data: bytes | None) -> None:
        """Put it on the lane to this end; None closes it."""
        due = asyncio.get_running_loop().time() + self._orders.latency
        self._lane.append((max(due, self._lane[-1][0]) if self._lane else due, data))
        self.flush()

    def flush(self) -> None:
        """Let out what is due, unless it is ordered to wait."""
        loop = asyncio.get_running_loop()
        while self._lane and self._orders.is_open and self._transport is not None:
            due, data = self._lane[0]
            if due > loop.time():
                loop.call_at(due, self.flush)
                return
            self._lane.popleft()
            if data is None:
                self._transport.close()
            else:
                self._transport.write(data)

    def hurry(self) -> None:
        """Let out everything there is."""
        self._lane = deque((0.0, data) for _, data in self._lane)
        self.flush()

    def reset(self) -> None:
        """Close it as a crash does, if need be as soon as it is open; the lane is lost."""
        self._is_reset = True
        self._lane.clear()
        if self._transport is not None and not self._transport.is_closing():
            wire: socket.socket = self._transport.get_extra_info("socket")
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._transport.abort()


class Relay:
    """A client's connection and the server's that belongs to it, until both are closed."""

    def __init__(self, orders: Orders, closed: Callable[[Relay], None]) -> None:
        self.client = End(orders, self._from_client, lambda: self._lost(self.server))
        self.server = End(orders, self._from_server, lambda: self._lost(self.client))
        self._orders = orders
        self._closed = closed
        self._open = 2
        self._requests = Messages(typed=False)
        self._answers = Messages(typed=True)
        self._conversation = Conversation()
        self._trap: Trap | None = None

    def hurry(self) -> None:
        self.client.hurry()
        self.server.hurry()

    def reset(self) -> None:
        self.client.reset()
        self.server.reset()

    def _from_client(self, data: bytes) -> None:
        for kind, message in self._requests.feed(data):
            if not kind and is_encryption_request(message):
                self.client.send(b"N")
                continue
            self._requests.typed = True
            sql = self._conversation.ask(kind, message)
            if sql is not None and self._trap is None:
                self._trap = self._orders.springs(sql)
            self.server.send(message)

    def _from_server(self, data: bytes) -> None:
        for kind, message in self._answers.feed(data):
            is_done = self._conversation.answer(kind)
            if self._trap is None or kind == _BRING_THE_DATA:
                self.client.send(message)
            elif is_done:
                self.reset()
                self._trap.sprung.set()

    def _lost(self, other: End) -> None:
        self._open -= 1
        other.send(None)
        if not self._open:
            self._closed(self)
