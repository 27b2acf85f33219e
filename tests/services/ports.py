"""Ports for servers on loopback."""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Callable
from typing import Final

LOOPBACK: Final = "127.0.0.1"


class PortTaken(Exception):
    """Somebody else listens on the port that was chosen."""


def free_port() -> int:
    """Return a port nobody listens on, outside the range the kernel gives to those who connect."""
    while True:
        port = random.randrange(15_000, 32_000)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind((LOOPBACK, port))
            return port


def on_free_port(start: Callable[[int], None]) -> int:
    """Start a server; again on another port when somebody was faster. Return the port it has."""
    while True:
        port = free_port()
        with contextlib.suppress(PortTaken):
            start(port)
            return port
