"""What peers on PostgreSQL share: a database of their own in the bench's server."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import LiteralString

from bench import servers


class OnPostgres:
    """The PostgreSQL half of a `Peer`: its store is the database named after its folder."""

    store = "postgres"
    durability = "full"
    look: LiteralString
    """A cheap query with a row while there is an unfinished job."""

    def url(self, folder: Path) -> str:
        return servers.postgres().url(database(folder))

    def prepare(self, folder: Path) -> None:
        self.remove(folder)
        servers.postgres().create_database(database(folder))
        self.install(folder)
        servers.postgres().sql("checkpoint")

    def install(self, folder: Path) -> None:
        """Make the peer's tables in an empty database."""
        raise NotImplementedError

    def missing_server(self) -> str | None:
        return servers.postgres_missing()

    def server_version(self) -> Mapping[str, str]:
        return {"PostgreSQL": servers.postgres_version()}

    def environment(self, folder: Path) -> Mapping[str, str]:
        return {"BENCH_DATABASE_URL": self.url(folder)}

    def servers(self) -> Sequence[int]:
        return (servers.postgres().pid,)

    def remove(self, folder: Path) -> None:
        servers.postgres().drop_database(database(folder))

    @contextmanager
    def unfinished(self, folder: Path) -> Iterator[Callable[[], bool]]:
        import psycopg

        with psycopg.connect(self.url(folder), autocommit=True) as connection:
            yield lambda: connection.execute(self.look).fetchone() is not None


def database(folder: Path) -> str:
    return "-".join(folder.parts[-2:])
