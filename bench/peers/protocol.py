"""What the harness asks of a peer. All timing is the harness's, the same for everyone.

A peer is met through programs, not through Python: its enqueuing side and its worker are
commands, so it may live in another virtual environment or speak another language. What they
have to do is said by `Client` and by `bench.marks`; a peer in Python gets the rest from
`PythonPeer`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple, Protocol


class Command(NamedTuple):
    """A program, run from the repository's root with these variables added to ours."""

    arguments: Sequence[str]
    environment: Mapping[str, str]


class Client(Protocol):
    """The peer's enqueuing side, open in a process of its own. Each call is durable on return."""

    def noop(self) -> object:
        """Enqueue one job that does nothing."""

    def noops(self, count: int) -> object:
        """Enqueue `count` of them by the peer's fastest way that is as durable."""

    def mark(self, path: str) -> object:
        """Enqueue a job that calls `bench.marks.mark(path)`."""

    def stamp(self, path: str, sent: int) -> object:
        """Enqueue a job that calls `bench.marks.stamp(path, sent)`."""


class ConcurrentClient(Client, Protocol):
    """A client whose callers need not wait for each other."""

    def concurrent(self, count: int) -> object:
        """Enqueue `count` bare jobs by as many calls at once; each is durable when it returns."""


class Peer(Protocol):
    """One queue in one setting. `folder` is where its store lies, or what its store is named by."""

    name: str
    store: str
    """``sqlite``, ``postgres`` or ``redis``."""
    durability: str
    """Of an acknowledged write: ``full`` (on the disk), ``normal`` (survives the process) or
    ``off``."""
    without: frozenset[str]
    """Scenarios it has no part in."""
    share: float
    """The part of the jobs it is given: a slow one's rate is the same with fewer."""

    def missing(self) -> str | None:
        """Say what is not installed or does not run here; None when the peer can be measured."""

    def versions(self) -> Mapping[str, str]:
        """Return what runs here, by name."""

    def settings(self) -> Mapping[str, Any]:
        """Return how it was set, for the report."""

    def prepare(self, folder: Path) -> None:
        """Make an empty store."""

    def remove(self, folder: Path) -> None:
        """Remove what is not in the folder itself."""

    def client(self, folder: Path) -> Command:
        """Return its enqueuing side, to which the harness adds an operation and its arguments.

        The operations are those of `bench.client`; arguments and printed figures are JSON.
        """

    def worker(self, folder: Path) -> Command:
        """Return one worker process at the peer's best setting."""

    def servers(self) -> Sequence[int]:
        """Return the first processes of servers that work for it: their CPU counts as its own."""

    def unfinished(self, folder: Path) -> AbstractContextManager[Callable[[], bool]]:
        """Give a cheap look at whether the store still holds an unfinished job."""


class Snapshotted(Peer, Protocol):
    """A peer whose store keeps what has ended for as long as a transaction may still see it."""

    def open_transaction(self, folder: Path) -> AbstractContextManager[object]:
        """Hold a transaction open that sees the store as it is now."""

    def claims(self, folder: Path, turns: int, limit: int) -> Command:
        """Return a program that prints the quantiles of `turns` claims of `limit` jobs, in ms."""


class Scalable(Peer, Protocol):
    """A peer whose store can be made large, put in order and copied."""

    def client_of_backlog(self, folder: Path) -> Command:
        """Return a client whose bare jobs go to a queue below the measured one."""

    def put_in_order(self, folder: Path) -> None:
        """Do what a quiet night does to a store: vacuum, analyze, checkpoint."""

    def copy(self, built: Path, folder: Path) -> None:
        """Make the store in `folder` a copy of the one in `built`."""
