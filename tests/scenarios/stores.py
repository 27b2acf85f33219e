"""The stores that scenarios play on: which there are, and which this run takes.

`SCENARIO_STORES` names them, with commas between, or says `all`. Left alone it is SQLite and the
newest PostgreSQL, and what is heavy plays on SQLite only. A scenario that is by nature about some
stores says so: ``@pytest.mark.stores("sqlite")``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from tests.services.fixtures import SERIALIZABLE, TEMPLATE, Clusters, prepare
from tests.services.ports import LOOPBACK, free_port
from tests.services.postgres import SUPERUSER, Cluster, Database

USUAL: Final = "sqlite,pg18"
LIGHT: Final = "sqlite"


@dataclass(frozen=True)
class Site:
    """Where a scene's store is, empty and migrated."""

    url: str
    database: Database | None = None
    """The database, on PostgreSQL."""
    worker: Mapping[str, Any] = field(default_factory=dict)
    """What a worker must be told besides the URL."""

    @property
    def listen_url(self) -> str:
        """Where its workers listen: at the server itself."""
        return str(self.worker.get("listen_url", self.url))

    @property
    def pooled(self) -> bool:
        """Whether a pooler stands before the server."""
        return self.listen_url != self.url

    @property
    def deaf(self) -> Mapping[str, Any]:
        """What a worker is told that shall hear of no job: nobody listens on that port."""
        nowhere = f"postgresql://{LOOPBACK}:{free_port()}/nothing"
        return {"listen_url": nowhere} if self.database else {}

    @property
    def server(self) -> Database:
        """The database of a scenario that is only about PostgreSQL."""
        assert self.database is not None
        return self.database


@dataclass(frozen=True)
class Kind:
    """One kind of store, reached in one way. Without a `version` it is SQLite."""

    name: str
    version: str = ""
    pooled: bool = False
    user: str = SUPERUSER

    @contextmanager
    def place(self, folder: Path, clusters: Clusters) -> Iterator[Site]:
        """Give the site of one scene, and clear it away afterwards."""
        if not self.version:
            yield Site(f"sqlite:///{folder / 'jobs.db'}")
            return
        cluster = clusters[self.version]
        database = cluster.create_database(template=TEMPLATE)
        direct = cluster.url(database.name, user=self.user)
        try:
            if self.pooled:
                pooled = clusters.pooler(self.version).url(database.name, user=self.user)
                yield Site(pooled, database, {"listen_url": direct})
            else:
                yield Site(direct, database)
        finally:
            cluster.start()
            cluster.drop_database(database.name)

    @property
    def needs(self) -> list[pytest.MarkDecorator]:
        """What the machine must have."""
        services = [f"pg{self.version}"] if self.version else []
        services += ["pgbouncer"] if self.pooled else []
        return [pytest.mark.needs(service) for service in services]


KINDS: Final = {
    kind.name: kind
    for kind in (
        Kind("sqlite"),
        Kind("pg15", "15"),
        Kind("pg18", "18"),
        Kind("pgbouncer", "15", pooled=True),
        Kind("serializable", "18", user=SERIALIZABLE),
    )
}
SERVERS: Final = tuple(name for name, kind in KINDS.items() if kind.version)
"""Those on PostgreSQL."""


@contextmanager
def own_server(**options: Any) -> Iterator[Site]:
    """Give an empty store on a server of its own, made with these options of `Cluster`."""
    with Cluster("18", **options) as cluster:
        database = cluster.create_database()
        prepare(database.url)
        yield Site(database.url, database)


def chosen(*, heavy: bool) -> list[Kind]:
    """Return the kinds of store that this run takes."""
    asked = os.environ.get("SCENARIO_STORES") or (LIGHT if heavy else USUAL)
    return list(KINDS.values()) if asked == "all" else [KINDS[name] for name in asked.split(",")]
