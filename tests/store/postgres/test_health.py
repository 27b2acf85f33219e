"""What the doctor knows of PostgreSQL: each trap is named, with what it costs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from tests.scenarios.facts import eventually
from tests.services.pgbouncer import PgBouncer
from tests.services.postgres import Cluster, Database
from tests.store.hands import Worker, put, put_many
from workhorse.domain.errors import Unavailable
from workhorse.store.opening import open_store
from workhorse.store.postgres import PostgresStore, health
from workhorse.store.protocol import Store


def found(store: Store) -> dict[str, str]:
    """Return the level of each finding, by its sentence."""
    return {sentence: level for level, sentence in store.health().findings}


def level_of(store: Store, words: str) -> str | None:
    """Return the level of the finding with these words, None when there is none."""
    levels = [level for sentence, level in found(store).items() if words in sentence]
    assert len(levels) <= 1
    return levels[0] if levels else None


@pytest.fixture
def durable(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster with what keeps jobs through a crash switched on; the tests' own run without."""
    for name in ("fsync", "full_page_writes"):
        _set(cluster, name, "on")
    yield cluster
    for name in ("fsync", "full_page_writes"):
        cluster.sql(f"alter system reset {name}")
    cluster.sql("select pg_reload_conf()")


def _set(cluster: Cluster, name: str, value: str) -> None:
    cluster.sql(f"alter system set {name} = {value}")
    cluster.sql("select pg_reload_conf()")


def test_a_sound_server_has_no_findings(durable: Cluster, store: PostgresStore) -> None:
    """Nothing is found where there is nothing to find."""
    put(store)
    eventually(lambda: found(store) == {}, what="a sound server's health")
    assert store.health().version.startswith("PostgreSQL ")


def test_a_look_over_reads_no_job(database: Database) -> None:
    """It is made every few seconds, however many there are."""
    database.cluster.log_statements(database.name)
    with closing(open_store(database.url)) as store:
        store.health()
    asked = [sql for sql in database.cluster.statements(database.name) if "workhorse." in sql]
    assert asked
    assert [sql for sql in asked if "workhorse.jobs" in sql or "workhorse.history" in sql] == []


@pytest.mark.parametrize("name", ["fsync", "full_page_writes"])
def test_a_server_that_forgets(durable: Cluster, store: PostgresStore, name: str) -> None:
    """Without either a crash of the server loses jobs: that is an error."""
    _set(durable, name, "off")
    words = "fsync or full_page_writes is off"
    eventually(lambda: level_of(store, words) == "error", what="the finding")


@pytest.mark.parametrize("commit", ["off", "local"])
def test_commits_that_come_late(database: Database, durable: Cluster, commit: str) -> None:
    """One that waits for no disk, or for no standby's, may lose the last jobs: a warning."""
    durable.sql(
        SQL("alter database {} set synchronous_commit = {}").format(
            Identifier(database.name), commit
        )
    )
    with closing(open_store(database.url)) as store:
        assert level_of(store, f"synchronous_commit is {commit}") == "warn"


def test_a_pooler_between(pgbouncer: PgBouncer, database: Database) -> None:
    """Behind a pooler nobody can listen, unless told where the server itself is."""
    with closing(open_store(pgbouncer.url(database.name))) as store:
        assert level_of(store, "WORKHORSE_LISTEN_URL") == "warn"
    with closing(open_store(database.url)) as store:
        assert level_of(store, "WORKHORSE_LISTEN_URL") is None


@pytest.mark.needs("pgbouncer")
def test_a_pooler_that_lends_for_a_statement_alone(cluster: Cluster, database: Database) -> None:
    """No worker can work through it: it is no sound store that is found, and it is said why."""
    with (
        PgBouncer(cluster, mode="statement") as pooler,
        closing(open_store(pooler.url(database.name))) as store,
    ):
        for refused in (store.health, lambda: Worker(store)):
            with pytest.raises(Unavailable, match="statement pooling mode") as told:
                refused()
            assert "pool_mode = transaction" in str(told.value.hint)


def test_a_transaction_that_stays_open(
    store: PostgresStore, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It keeps dead rows in the tables: told, once it is older than some minutes."""
    with psycopg.connect(database.url) as other:
        other.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        other.execute("select count(*) from workhorse.jobs")
        assert level_of(store, "transaction has been open") is None
        monkeypatch.setattr(health, "OLD_SNAPSHOT", 0)
        assert level_of(store, "transaction has been open") == "warn"


def test_a_transaction_that_idles_after_a_write(
    store: PostgresStore, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commonest that stays open: it has no snapshot between statements, and keeps as much."""
    monkeypatch.setattr(health, "OLD_SNAPSHOT", 0)
    database.sql("create table theirs (number int)")
    with psycopg.connect(database.url) as other:
        other.execute("insert into theirs values (1)")
        assert level_of(store, "transaction has been open") == "warn"


def test_a_transaction_that_is_prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    """It outlives its connection, and keeps dead rows for as long as nobody thinks of it."""
    monkeypatch.setattr(health, "OLD_SNAPSHOT", 0)
    settings = {"max_prepared_transactions": "1"}
    with Cluster("18", fsync=False, settings=settings) as cluster:
        database = cluster.create_database()
        with closing(open_store(database.url, migrating=True)) as store:
            store.migrate()
            with psycopg.connect(database.url) as other:
                other.execute("create table theirs (number int)")
                other.execute("prepare transaction 'forgotten'")
            assert level_of(store, "prepared transaction") == "warn"
            database.sql("rollback prepared 'forgotten'")
            assert level_of(store, "prepared transaction") is None


def test_a_standby_that_is_not_heard_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its slot keeps what the last query on it could see, until somebody drops it."""
    monkeypatch.setattr(health, "OLD_SLOT", -1)
    with Cluster("18", fsync=False) as cluster:
        database = cluster.create_database()
        cluster.sql("select pg_create_physical_replication_slot('standby')")
        with closing(open_store(database.url, migrating=True)) as store:
            store.migrate()
            assert level_of(store, "replication slot") is None
            settings = {"primary_slot_name": "standby", "hot_standby_feedback": "on"}
            with Cluster("18", fsync=False, follows=cluster, settings=settings):
                eventually(lambda: level_of(store, "replication slot") == "warn", what="its word")
            assert level_of(store, "replication slot") == "warn"
            cluster.sql("select pg_drop_replication_slot('standby')")
            assert level_of(store, "replication slot") is None


def test_a_database_that_is_read_only(database: Database) -> None:
    """As managed services have it on a full disk: an error that names the setting, no standby."""
    alter, setting = f"alter database {database.name}", "default_transaction_read_only"
    database.cluster.sql(f"{alter} set {setting} = on")
    with closing(open_store(database.url)) as store:
        assert level_of(store, f"{setting} is on") == "error"
        assert level_of(store, "standby") is None
        with pytest.raises(Unavailable, match="takes no writes now: cannot execute") as refused:
            put(store)
        assert setting in str(refused.value.hint)
        database.cluster.sql(f"{alter} reset {setting}")
        put(store)
        assert level_of(store, f"{setting} is on") is None


@pytest.mark.parametrize(("seconds", "where"), [(60, "ahead of"), (-60, "behind")])
def test_a_clock_that_is_another(
    store: PostgresStore, database: Database, seconds: int, where: str
) -> None:
    """Leases and logs do not fit together: it is told how far the server's is from this host's."""
    assert level_of(store, "clock") is None
    database.cluster.sql(
        SQL(
            "create or replace function workhorse.clock() returns bigint language sql stable as"
            " 'select (extract(epoch from statement_timestamp()) * 1000)::bigint + {}'"
        ).format(SQL("60000" if seconds > 0 else "-60000")),
        database=database.name,
    )
    assert level_of(store, f"The server's clock is 60 s {where} this host's") == "warn"


def test_dead_rows(
    store: PostgresStore, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Autovacuum that does not keep up is told of, by how much there is to clear away."""
    monkeypatch.setattr(health, "DEAD_ENOUGH", 50)
    database.sql("alter table workhorse.jobs set (autovacuum_enabled = off)")
    put_many(store, 100)
    database.sql("analyze workhorse.jobs")
    assert level_of(store, "dead rows") is None
    database.sql("delete from workhorse.jobs where id % 2 = 0")
    database.sql("update workhorse.jobs set priority = 1")
    database.sql("analyze workhorse.jobs")
    assert level_of(store, "dead rows") == "warn"
