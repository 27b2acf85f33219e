"""What peers in Python share: a client that is opened in a fresh process of an interpreter."""

from __future__ import annotations

import asyncio
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench.peers.protocol import Client, Command


class PythonPeer(ABC):
    """The Python half of a `Peer`; `package` is what must be installed."""

    package: str
    store: str
    durability: str
    share = 1.0

    def __init__(
        self, name: str, *, durability: str = "", without: frozenset[str] = frozenset()
    ) -> None:
        self.name = name
        self.durability = durability or self.durability
        self.without = without

    def missing(self) -> str | None:
        try:
            version(self.package)
        except PackageNotFoundError:
            return f"{self.package} is not installed (`uv sync --inexact --group bench`)"
        return None

    def versions(self) -> Mapping[str, str]:
        return {self.package: version(self.package)}

    def client(self, folder: Path) -> Command:
        arguments = [sys.executable, "-m", "bench.client", self.name, str(folder)]
        return Command(arguments, self.environment(folder))

    def servers(self) -> Sequence[int]:
        return ()

    def remove(self, folder: Path) -> None:  # noqa: B027 - a default
        """Nothing but the folder is to be removed."""

    @abstractmethod
    def environment(self, folder: Path) -> Mapping[str, str]:
        """Return the variables that lead the peer's client and worker to the store."""

    @abstractmethod
    def open(self) -> Client:
        """Open the client in this process, which has that environment."""


def fast_loop() -> asyncio.AbstractEventLoop:
    """Return a loop for a client that is not synchronous, uvloop's where it is installed."""
    with suppress(ImportError):
        import uvloop

        fast: asyncio.AbstractEventLoop = uvloop.new_event_loop()
        asyncio.set_event_loop(fast)
        return fast
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    return loop
