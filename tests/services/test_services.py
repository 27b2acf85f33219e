"""The services do what they are told; or else what is tested with them means nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.scenarios import procs
from tests.scenarios.facts import PATIENCE, eventually
from tests.scenarios.workers import REPOSITORY
from tests.services import binaries, ports
from tests.services.fixtures import Clusters
from tests.services.network import Host, Network
from tests.services.pgbouncer import PgBouncer
from tests.services.postgres import SCRAM, Cluster, Database
from tests.services.proxy import Proxy

Connection = psycopg.Connection[tuple[Any, ...]]


@contextmanager
def client(url: str, **options: Any) -> Iterator[Connection]:
    with closing(psycopg.connect(url, autocommit=True, **options)) as connection:
        yield connection


class TestCluster:
    def test_it_runs_as_in_production(self, cluster: Cluster) -> None:
        """A cluster is durable, and of the version that was asked for."""
        assert cluster.sql("show fsync") == [("on",)]
        [(version,)] = cluster.sql("show server_version_num")
        assert version.startswith(cluster.version)

    def test_each_test_has_a_database_of_its_own(self, cluster: Cluster) -> None:
        """A database begins as its template was, and shares nothing with its siblings."""
        template = cluster.create_database()
        template.sql("create table jobs (id int)")
        one, other = (cluster.create_database(template=template.name) for _ in range(2))
        one.sql("insert into jobs values (1)")
        assert other.sql("select * from jobs") == []
        for database in (one, other, template):
            cluster.drop_database(database.name)

    @pytest.mark.parametrize("mode", ["fast", "immediate"])
    def test_restart(self, cluster: Cluster, database: Database, mode: str) -> None:
        """A restart ends the connections; what was committed is there, at the same address."""
        database.sql("create table jobs as select 7 as id")
        with client(database.url) as connection:
            before = cluster.pid
            cluster.restart(mode)
            with pytest.raises(psycopg.OperationalError):
                connection.execute("select 1")
        assert cluster.pid != before
        with client(database.url) as connection:
            assert connection.execute("select id from jobs").fetchall() == [(7,)]

    def test_terminate_backends(self, cluster: Cluster, database: Database) -> None:
        """The connections to one database can be ended, and none of the others."""
        with client(database.url) as connection, client(cluster.url()) as bystander:
            assert cluster.terminate_backends(database.name) == 1
            with pytest.raises(psycopg.OperationalError):
                connection.execute("select 1")
            bystander.execute("select 1")

    def test_a_password(self, cluster: Cluster) -> None:
        """One role needs its password."""
        user, password = SCRAM
        with client(cluster.url(user=user, password=password)) as connection:
            assert connection.info.user == user
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(cluster.url(user=user, password="wrong"))

    def test_statements(self, cluster: Cluster, database: Database) -> None:
        """What is run in a database can be read, in order, prepared or not."""
        cluster.log_statements(database.name)
        with client(database.url, prepare_threshold=0) as connection:
            connection.execute("select %s::int", [1])
            connection.execute("select\n  2")
        cluster.sql("select 3")
        assert cluster.statements(database.name) == ["select $1::int", "select\n  2"]

    @pytest.mark.needs("pg15")
    def test_pg_stat_statements(self, clusters: Clusters) -> None:
        """Debian's PostgreSQL can be asked what its statements cost."""
        database = clusters["15"].create_database()
        database.sql("create extension pg_stat_statements")
        database.sql("select 'counted' as me")
        count = "select calls from pg_stat_statements where query = 'select $1 as me'"
        assert database.sql(count) == [(1,)]
        database.cluster.drop_database(database.name)

    @pytest.mark.needs("pg18")
    def test_a_private_checkout(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A server runs under its own account also where only we may enter the checkout."""
        real = binaries.postgres("18")
        assert real is not None
        binaries.transfer(real, tmp_path)
        tmp_path.chmod(0o700)
        private = tmp_path / real.relative_to(real.parents[2])
        monkeypatch.setattr(binaries, "postgres", lambda version: private)
        with Cluster("18") as cluster:
            assert cluster.sql("select 1") == [(1,)]


@pytest.mark.needs("pg18")
def test_nothing_outlives_its_test(tmp_path: Path) -> None:
    """When a test's process is killed, its servers end, and their folders go."""
    program = """
import json, time
from tests.services.postgres import Cluster
with Cluster("18") as cluster:
    print(json.dumps([cluster.pid, str(cluster.home)]), flush=True)
    time.sleep(60)
"""
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as test:
        assert test.stdout is not None
        pid, home = json.loads(test.stdout.readline())
        family = [pid, *(child.pid for child in procs.children(pid))]
        test.kill()
    assert len(family) > 3
    eventually(lambda: not procs.living(family), what="no process left")
    eventually(lambda: not Path(home).exists(), what="no folder left")


@pytest.mark.needs("pg18")
@pytest.mark.needs("pgbouncer")
def test_a_server_finds_a_port(clusters: Clusters, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server whose port was taken a moment before starts on another one."""
    cluster = clusters["18"]
    free = ports.free_port()
    for server in (PgBouncer(cluster), Cluster(cluster.version)):
        chosen = iter([cluster.port, free])
        monkeypatch.setattr(ports, "free_port", lambda chosen=chosen: next(chosen))
        with server:
            assert server.port == free


@pytest.mark.needs("pgbouncer")
def test_pgbouncer(cluster: Cluster, database: Database) -> None:
    """A client that is in no transaction holds no connection of the server."""
    with (
        PgBouncer(cluster, pool_size=1) as pgbouncer,
        client(pgbouncer.url(database.name)) as one,
        client(pgbouncer.url(database.name)) as other,
    ):
        pids = {c.execute("select pg_backend_pid()").fetchone() for c in (one, other)}
        assert len(pids) == 1
        assert any(row[0] == database.name for row in pgbouncer.admin("show pools"))


@pytest.mark.needs("pg18")
class TestProxy:
    @pytest.fixture
    def cluster(self, clusters: Clusters) -> Cluster:
        return clusters["18"]

    @pytest.fixture
    def url(self, proxy: Proxy, database: Database) -> str:
        return proxy.through(database.url)

    @pytest.fixture
    def background(self) -> Iterator[ThreadPoolExecutor]:
        with ThreadPoolExecutor() as executor:
            yield executor

    def test_it_passes_everything(self, proxy: Proxy, url: str) -> None:
        """Left alone, it makes no difference."""
        big = "x" * 1_000_000
        with client(url) as connection:
            assert connection.execute("select %s::text", [big]).fetchone() == (big,)
            assert proxy.connections == 1
        eventually(lambda: proxy.connections == 0)

    def test_stall(self, proxy: Proxy, url: str, background: ThreadPoolExecutor) -> None:
        """A stalled connection stays open and says nothing; healed, it goes on where it was."""
        with client(url) as connection:
            proxy.stall()
            answer = background.submit(connection.execute, "select 1")
            with pytest.raises(TimeoutError):
                answer.result(0.3)
            proxy.heal()
            assert answer.result(PATIENCE).fetchone() == (1,)

    def test_a_stall_meets_newcomers(
        self, proxy: Proxy, url: str, background: ThreadPoolExecutor
    ) -> None:
        """While it stalls, one may connect, and waits for the greeting."""
        proxy.stall()
        newcomer = background.submit(lambda: psycopg.connect(url))
        eventually(lambda: proxy.connections == 1)
        assert not newcomer.done()
        proxy.heal()
        newcomer.result(PATIENCE).close()

    def test_cut(self, proxy: Proxy, url: str) -> None:
        """A cut resets what is open and what comes, until it is healed."""
        with client(url) as connection:
            proxy.cut()
            with pytest.raises(psycopg.OperationalError):
                connection.execute("select 1")
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(url)
        proxy.heal()
        psycopg.connect(url).close()

    def test_a_cut_ends_a_stall(self, proxy: Proxy, url: str) -> None:
        """A stalled connection can be cut."""
        with client(url) as connection:
            proxy.stall()
            proxy.cut()
            with pytest.raises(psycopg.OperationalError):
                connection.execute("select 1")

    def test_delay(self, proxy: Proxy, url: str) -> None:
        """A delay holds in both directions, and keeps the order."""
        with client(url) as connection:
            proxy.delay(0.05)
            start = time.monotonic()
            assert connection.execute("select 1").fetchone() == (1,)
            assert time.monotonic() - start >= 0.1
            proxy.heal()

    def test_cut_after_commit(self, proxy: Proxy, database: Database, url: str) -> None:
        """The transaction is committed; its client was never told."""
        database.sql("create table jobs (id int)")
        with client(url) as connection:
            cut = proxy.cut_after("COMMIT")
            connection.execute("begin")
            connection.execute("insert into jobs values (1)")
            assert not cut.is_set()
            with pytest.raises(psycopg.OperationalError):
                connection.commit()
            assert cut.wait(PATIENCE)
        assert database.sql("select id from jobs") == [(1,)]
        with client(url) as connection:
            connection.execute("select 1")

    @pytest.mark.parametrize("nth", [1, 2])
    @pytest.mark.parametrize("threshold", [None, 0])
    def test_cut_after_a_statement(
        self, proxy: Proxy, database: Database, url: str, threshold: int | None, nth: int
    ) -> None:
        """A statement by itself is met as well, prepared or not, and counted."""
        database.sql("create table jobs (id int)")
        with client(url, prepare_threshold=threshold) as connection:
            connection.execute("insert into jobs values (%s)", [0])
            cut = proxy.cut_after("Insert into jobs", nth=nth)
            for done in range(1, nth):
                connection.execute("insert into jobs values (%s)", [done])
            with pytest.raises(psycopg.OperationalError):
                connection.execute("insert into jobs values (%s)", [nth])
            assert cut.wait(PATIENCE)
        assert database.sql("select count(*) from jobs") == [(nth + 1,)]

    def test_cut_after_a_pipeline(self, proxy: Proxy, database: Database, url: str) -> None:
        """Of a pipeline, too, everything is done and nothing is heard."""
        database.sql("create table jobs (id int)")
        with client(url) as connection:
            cut = proxy.cut_after("insert", nth=3)
            with pytest.raises(psycopg.OperationalError), connection.cursor() as cursor:
                cursor.executemany("insert into jobs values (%s)", [[1], [2], [3]])
            assert cut.wait(PATIENCE)
        assert database.sql("select count(*) from jobs") == [(3,)]

    def test_cut_after_copy(self, proxy: Proxy, database: Database, url: str) -> None:
        """A COPY is let go on to its end."""
        database.sql("create table jobs (id int)")
        with client(url) as connection, connection.cursor() as cursor:
            cut = proxy.cut_after("copy jobs")
            with pytest.raises(psycopg.OperationalError):  # noqa: SIM117
                with cursor.copy("copy jobs from stdin") as copy:
                    copy.write_row([1])
            assert cut.wait(PATIENCE)
        assert database.sql("select id from jobs") == [(1,)]


@pytest.mark.needs("pg18")
@pytest.mark.needs("netns")
def test_a_host_is_cut_off(network: Network) -> None:
    """A host that is cut off reaches nobody, sees nothing but silence, and comes back healed."""
    with Cluster("18", host=network.hub) as cluster:

        def greeted(host: Host) -> bool:
            """Whether the server answers a request for TLS from there."""
            script = """
import socket, struct, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=1) as server:
    server.sendall(struct.pack("!II", 8, 80877103))
    print(server.recv(1).decode())
"""
            where = [network.hub.address, str(cluster.port)]
            found = subprocess.run(
                host.inside([sys.executable, "-I", "-S", "-c", script, *where]),
                capture_output=True,
                text=True,
                check=False,
            )
            assert found.stdout or "TimeoutError" in found.stderr, found.stderr
            return found.stdout == "N\n"

        assert all(greeted(network[name]) for name in "ab")
        network["a"].cut()
        assert not greeted(network["a"])
        assert greeted(network["b"])
        network["a"].heal()
        assert greeted(network["a"])
        assert cluster.sql("select 1") == [(1,)]
