"""What peers on Redis share: the bench's server, emptied. It keeps nothing on the disk."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench import servers


class OnRedis:
    """The Redis half of a `Peer`."""

    store = "redis"
    durability = "off"
    look: Sequence[str]
    """Commands whose answer is a number: none of it is left when all say 0."""

    def url(self, _folder: Path) -> str:
        return f"redis://127.0.0.1:{servers.redis()[1]}/0"

    def prepare(self, _folder: Path) -> None:
        with _connected() as ask:
            ask("FLUSHALL")

    def missing_server(self) -> str | None:
        return servers.redis_missing()

    def server_version(self) -> Mapping[str, str]:
        return {"Redis": servers.redis_version()}

    def environment(self, folder: Path) -> Mapping[str, str]:
        return {"BENCH_REDIS_URL": self.url(folder)}

    def servers(self) -> Sequence[int]:
        return (servers.redis()[0].pid,)

    def remove(self, folder: Path) -> None:
        self.prepare(folder)

    @contextmanager
    def unfinished(self, _folder: Path) -> Iterator[Callable[[], bool]]:
        with _connected() as ask:
            yield lambda: any(ask(command) != ":0" for command in self.look)


@contextmanager
def _connected() -> Iterator[Callable[[str], str]]:
    """Give a way to ask what is answered in one line."""
    address = ("127.0.0.1", servers.redis()[1])
    with socket.create_connection(address) as connection, connection.makefile("rw") as lines:

        def ask(command: str) -> str:
            lines.write(f"{command}\r\n")
            lines.flush()
            return lines.readline().strip()

        yield ask
