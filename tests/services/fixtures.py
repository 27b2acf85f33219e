"""The services a test may ask for, by the names of these fixtures.

Clusters live as long as pytest's process; each test has a database of its own in them. What a test
does to a cluster (restarts it, stops it) is undone after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final

import pytest

from tests.services.binaries import VERSIONS
from tests.services.network import Network
from tests.services.pgbouncer import PgBouncer
from tests.services.postgres import SUPERUSER, Cluster, Database
from tests.services.proxy import Proxy
from tests.services.rights import APP, rights
from workhorse.store.opening import open_store

TEMPLATE = "prepared"
SERIALIZABLE: Final = "serializable"
"""A role whose transactions are serializable unless they say otherwise, and that may do no more
than what the guide grants an app."""
EACH_VERSION = [
    pytest.param(version, id=f"pg{version}", marks=pytest.mark.needs(f"pg{version}"))
    for version in VERSIONS
]
on_one_server = pytest.mark.parametrize("cluster", EACH_VERSION[-1:], indirect=True)
"""For a test of a `database` that is no different for each version."""


def prepare(url: str) -> None:
    """Make a new database what every test's database is a copy of: an empty store."""
    with closing(open_store(url, migrating=True)) as store:
        store.migrate()


class Clusters:
    """The clusters of this process, each started when first asked for."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._running: dict[str, Cluster] = {}
        self._poolers: dict[str, PgBouncer] = {}

    def __getitem__(self, version: str) -> Cluster:
        """Return the cluster of that version, running."""
        if version not in self._running:
            cluster = self._stack.enter_context(Cluster(version))
            cluster.sql("create role serializable login")
            cluster.sql("alter role serializable set default_transaction_isolation = serializable")
            template = cluster.create_database(TEMPLATE)
            prepare(template.url)
            template.sql(rights(APP, owner=SUPERUSER, name=SERIALIZABLE))
            template.sql("grant create on schema public to serializable")  # a product's tables
            self._running[version] = cluster
        self._running[version].start()
        return self._running[version]

    def pooler(self, version: str) -> PgBouncer:
        """Return PgBouncer in front of the cluster of that version, running."""
        cluster = self[version]
        if version not in self._poolers:
            users = (SUPERUSER, SERIALIZABLE)
            self._poolers[version] = self._stack.enter_context(PgBouncer(cluster, users=users))
        return self._poolers[version]


@pytest.fixture(scope="session")
def clusters() -> Iterator[Clusters]:
    """Every version there is, for tests that are no different for each."""
    with ExitStack() as stack:
        yield Clusters(stack)


@pytest.fixture(params=EACH_VERSION)
def cluster(request: pytest.FixtureRequest, clusters: Clusters) -> Cluster:
    """A running cluster, of each version in turn."""
    return clusters[request.param]


@pytest.fixture
def database(cluster: Cluster) -> Iterator[Database]:
    """A prepared database of the test's own."""
    database = cluster.create_database(template=TEMPLATE)
    yield database
    cluster.start()
    cluster.drop_database(database.name)


@pytest.fixture
def pgbouncer(cluster: Cluster) -> Iterator[PgBouncer]:
    """PgBouncer in front of the test's cluster."""
    with PgBouncer(cluster) as pgbouncer:
        yield pgbouncer


@pytest.fixture
def proxy(cluster: Cluster) -> Iterator[Proxy]:
    """A proxy in front of the test's cluster."""
    with Proxy(cluster.url()) as proxy:
        yield proxy


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    """Hosts "a" and "b", and the hub between them."""
    with Network("a", "b", folder=tmp_path) as network:
        yield network
