"""What the harness asks of a peer. All timing is the harness's, the same for everyone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol


class Command(NamedTuple):
    """How a peer's worker is started. Run from the repository's root."""

    arguments: Sequence[str]
    environment: Mapping[str, str]


class Client(Protocol):
    """The peer's enqueuing side, open in a process of its own. Each call is durable on return."""

    def noop(self) -> None:
        """Enqueue one job that does nothing."""

    def noops(self, count: int) -> None:
        """Enqueue `count` of them by the peer's fastest way that is as durable."""

    def mark(self, path: str) -> None:
        """Enqueue a job that calls `bench.marks.mark(path)`."""

    def stamp(self, path: str, sent: int) -> None:
        """Enqueue a job that calls `bench.marks.stamp(path, sent)`."""


class Peer(Protocol):
    """One queue in one setting."""

    name: str
    durability: str
    """Of an acknowledged write: ``full``, ``normal`` or ``off``, as SQLite's synchronous."""
    has_bulk: bool
    """Whether `Client.noops` is more than a loop of `noop`."""

    def versions(self) -> Mapping[str, str]:
        """Return what runs here, by name."""

    def settings(self) -> Mapping[str, Any]:
        """Return how it was set, for the report."""

    def prepare(self, folder: Path) -> None:
        """Make an empty store in `folder`."""

    def client(self, folder: Path) -> Client:
        """Open the enqueuing side. Called in a fresh process."""

    def worker(self, folder: Path) -> Command:
        """Return how to start one worker process at the peer's best setting."""

    def unfinished(self, folder: Path) -> Callable[[], bool]:
        """Return a cheap look at whether the store still holds an unfinished job."""
