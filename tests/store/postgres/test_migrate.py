"""The schema of a shared database: brought up to date when asked, once, whole, or not at all."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import LiteralString

import psycopg
import pytest
from psycopg.pq import DiagnosticField

from tests.services.postgres import Cluster, Database
from tests.store.hands import OK, Worker, put, the
from tests.store.migrating import one_more_for
from workhorse.domain.errors import ConfigurationError, StoreGone, Unavailable
from workhorse.domain.job import State
from workhorse.store.opening import migration_script, open_store
from workhorse.store.postgres import PostgresStore, health, migrate
from workhorse.store.postgres.failures import is_stale
from workhorse.store.protocol import Retention
from workhorse.store.statements import migrations

KNOWN = migrations("postgres")
NEXT = KNOWN[-1].number + 1
GOOD = "alter table workhorse.jobs add column colour text;"
BROKEN = f"{GOOD}\ninsert into workhorse.no_such_table values (1);"
MIGRATE = """
import sys
from workhorse.store.opening import open_store
sys.stdin.readline()
open_store(sys.argv[1], migrating=True).migrate()
"""
SHAPE = """
select table_name::text, column_name::text, data_type::text from information_schema.columns
 where table_schema = 'workhorse'
union all
select tablename, indexname, indexdef from pg_indexes where schemaname = 'workhorse'
order by 1, 2
"""


@pytest.fixture
def empty(cluster: Cluster) -> Iterator[Database]:
    """A database that has nothing of ours yet."""
    database = cluster.create_database()
    yield database
    cluster.drop_database(database.name)


@pytest.fixture
def one_more(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that lets this Workhorse know one migration more."""
    return one_more_for(monkeypatch, "postgres", migrate, health)


def migrated(url: str) -> list[str]:
    with closing(open_store(url, migrating=True)) as store:
        return list(store.migrate())


def test_migrations_are_numbered() -> None:
    """From one on, without a gap, each with a name that says what it is about."""
    assert [step.number for step in KNOWN] == list(range(1, len(KNOWN) + 1))
    assert all(step.name[:5] == f"{step.number:04}_" and step.name[5:] for step in KNOWN)


def test_nobody_migrates_a_shared_database_unasked(empty: Database) -> None:
    """Opening a store that is not there says what to run, and makes nothing."""
    with pytest.raises(ConfigurationError, match="is not there") as caught:
        open_store(empty.url)
    assert "workhorse migrate" in str(caught.value.hint)
    assert empty.sql("select 1 from pg_namespace where nspname = 'workhorse'") == []


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_that_cannot_hold_every_text(cluster: Cluster, encoding: LiteralString) -> None:
    """Is refused before there is a job in it, whose result might have no place later."""
    cluster.sql(f"create database narrow encoding '{encoding}' locale 'C' template template0")
    try:
        for use in (migrated, open_store):
            with pytest.raises(ConfigurationError, match=f"is in {encoding}") as refused:
                use(cluster.url("narrow"))
            assert "UTF8" in str(refused.value.hint)
    finally:
        cluster.drop_database("narrow")


def test_a_server_that_is_too_old(empty: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused in words, not by the first statement it cannot read; nothing is changed."""
    monkeypatch.setattr(migrate, "LEAST_SERVER", 99)
    with closing(open_store(empty.url, migrating=True)) as store:
        with pytest.raises(ConfigurationError, match="which is too old") as refused:
            store.migrate()
        assert "PostgreSQL 99 or later" in str(refused.value.hint)
    with pytest.raises(ConfigurationError, match="which is too old"):
        open_store(empty.url)
    assert empty.sql("select to_regnamespace('workhorse')") == [(None,)]


def test_a_database_becomes_a_store(empty: Database) -> None:
    """Each migration is applied and told; the second time there is nothing to do."""
    assert migrated(empty.url) == [step.name for step in KNOWN]
    assert migrated(empty.url) == []
    applied = empty.sql("select number, name from workhorse.schema_version order by number")
    assert applied == [(step.number, step.name) for step in KNOWN]
    with closing(open_store(empty.url)) as store:
        assert store.health().schema == KNOWN[-1].number


def test_what_is_printed_does_the_same(empty: Database, database: Database) -> None:
    """Run by somebody else, the script leaves the schema that `migrate` makes."""
    run(empty.url, migration_script(empty.url))
    assert empty.sql(SHAPE) == database.sql(SHAPE)
    assert migrated(empty.url) == []
    with closing(open_store(empty.url)) as store:
        put(store)
        Worker(store).run(OK)


def statements_of(script: str) -> Iterator[str]:
    """Yield the statements of a script as `psql` sends them; a part of one at its end is none."""
    text = ""
    for line in script.splitlines(keepends=True):
        text += line
        quotes = re.findall(r"\$\w*\$", text)
        if line.endswith(";\n") and all(quotes.count(quote) % 2 == 0 for quote in quotes):
            yield text
            text = ""


def run(url: str, script: str) -> None:
    """Run what was printed, one statement after the other."""
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements_of(script):
            connection.execute(statement.encode())


def test_what_is_printed_may_be_run_again(
    database: Database, one_more: Callable[[str], None]
) -> None:
    """What was applied is passed by, with all that is in it; what is missing is applied."""
    with closing(open_store(database.url)) as store:
        job = put(store)
        run(database.url, migration_script(database.url))
        one_more(GOOD)
        for _ in range(2):
            run(database.url, migration_script(database.url))
            assert store.health().schema == NEXT
        assert the(store, job).state is State.AVAILABLE
    assert migrated(database.url) == []


@pytest.mark.parametrize("name", ["workhorse", "night_shift"])
def test_what_is_printed_is_applied_whole_or_not_at_all(empty: Database, name: str) -> None:
    """Cut off anywhere it leaves nothing that is in the way of the next try."""
    url = f"{empty.url}?schema={name}"
    script = migration_script(url)
    for share in (0.3, 0.6, 0.99):
        run(empty.url, script[: int(len(script) * share)])
        assert empty.sql("select to_regclass(%s)", f"{name}.jobs") == [(None,)]
    assert migrated(url) == [step.name for step in KNOWN]


def test_a_schema_that_is_made_in_part(empty: Database) -> None:
    """Whatever made it so: it is told as such, with what to do, and stays as it is."""
    empty.sql("create schema workhorse")
    empty.sql("create function workhorse.clock() returns bigint language sql return 1")
    with pytest.raises(ConfigurationError, match='function "clock" already exists') as refused:
        migrated(empty.url)
    assert "drop schema workhorse cascade" in str(refused.value.hint)
    assert empty.sql("select to_regclass('workhorse.schema_version')") == [(None,)]


@pytest.mark.parametrize("way", ["migrate", "printed"])
def test_a_schema_that_was_made_for_its_owner(cluster: Cluster, empty: Database, way: str) -> None:
    """Who may make none in the database brings up to date one that is theirs."""
    cluster.sql("create role tenant login")
    url = cluster.url(empty.name, user="tenant")
    try:
        empty.sql("create schema workhorse authorization tenant")
        if way == "printed":
            run(url, migration_script(url))
        else:
            assert migrated(url) == [step.name for step in KNOWN]
        with closing(open_store(url)) as store:
            put(store)
    finally:
        cluster.drop_database(empty.name)
        cluster.sql("drop role tenant")


def test_a_schema_that_was_renamed(database: Database) -> None:
    """Its functions look for what is theirs by its first name: the error says what to do."""
    database.sql("alter schema workhorse rename to night")
    with closing(open_store(f"{database.url}?schema=night")) as store:
        put(store)
        with pytest.raises(StoreGone, match="workhorse") as gone:
            Worker(store).run(OK)
        assert "rename it back" in str(gone.value.hint)
    database.sql("alter schema night rename to workhorse")
    with closing(open_store(database.url)) as store:
        put(store)
        Worker(store).run(OK)


@pytest.mark.parametrize("name", ["night_shift", "select"])
def test_a_schema_may_have_another_name(empty: Database, name: str) -> None:
    """Two stores live in one database, apart; a word of SQL's own is a name like any other."""
    urls = empty.url, f"{empty.url}?schema={name}"
    for url in urls:
        assert migrated(url) == [step.name for step in KNOWN]
    with closing(open_store(urls[0])) as day, closing(open_store(urls[1])) as night:
        put(day)
        first, second = put(night), put(night)
        Worker(night).run(OK)
        assert [len(store.events()) for store in (day, night)] == [1, 5]
        assert [the(night, job).state.value for job in (first, second)] == [
            "succeeded",
            "available",
        ]
        night.cancel(second)
        night.requeue(second)
        waiting = put(night, after=[second])
        assert (night.sweep(), night.prune(Retention(succeeded=1))) == (0, 0)
        Worker(night).run(OK)
        assert the(night, waiting).state is State.AVAILABLE
        assert night.health().schema == KNOWN[-1].number
        assert night.counts()[State.AVAILABLE] == 1
    names = empty.sql(
        "select proname::text from pg_proc p join pg_namespace n on n.oid = pronamespace "
        "where nspname = %s and prosrc like '%%workhorse.%%'",
        name,
    )
    assert names == [], "a function of one schema that reaches into the other"


def test_a_schema_that_is_made_anew(empty: Database) -> None:
    """Its workers are numbered from one again: one of before is not renewed as one of now.

    And a store that was open goes on, whatever it had prepared.
    """
    migrated(empty.url)
    with closing(open_store(empty.url)) as one, closing(open_store(empty.url)) as other:
        before = Worker(one)
        assert one.renew(before.id, 30)
        assert the(one, put(one)).state is State.AVAILABLE
        empty.sql("drop schema workhorse cascade")
        migrated(empty.url)
        after = Worker(other)
        assert after.id == before.id
        assert not one.renew(before.id, 30)
        assert other.renew(after.id, 30)
        again = Worker(one)
        assert again.id != after.id
        assert one.renew(again.id, 30)
        assert the(one, put(one)).state is State.AVAILABLE
        again.run(OK)


def test_a_stale_plan_is_known_in_any_language(database: Database) -> None:
    """The server speaks its own: what it says of one is told by where it says it."""
    database.sql("create table public.stale (a int)")
    with psycopg.connect(database.url, autocommit=True, prepare_threshold=0) as connection:
        connection.execute("select * from public.stale")
        database.sql("alter table public.stale alter a type text")
        with pytest.raises(psycopg.errors.FeatureNotSupported) as caught:
            connection.execute("select * from public.stale")
    german = pickle.loads(pickle.dumps(caught.value))
    said = "gecachter Plan darf den Ergebnistyp nicht ändern"
    german._info[DiagnosticField.MESSAGE_PRIMARY] = said.encode()
    assert german.diag.message_primary == said
    assert is_stale(caught.value)
    assert is_stale(german)


def test_many_come_at_once(empty: Database) -> None:
    """Hosts that are deployed in the same instant: one migrates, the others find it done."""
    command = [sys.executable, "-c", MIGRATE, empty.url]
    crowd = [subprocess.Popen(command, stdin=subprocess.PIPE) for _ in range(4)]
    for one in crowd:
        assert one.stdin is not None
        one.stdin.close()
    assert [one.wait(60) for one in crowd] == [0] * 4
    assert migrated(empty.url) == []


def test_what_was_there_stays_and_old_and_new_work_side_by_side(
    store: PostgresStore, database: Database, one_more: Callable[[str], None]
) -> None:
    """A later migration is applied to a store in use; who opened it before goes on."""
    worker = Worker(store)
    job_id = put(store, args='{"a":1}')
    one_more(GOOD)
    with pytest.raises(ConfigurationError, match=f"needs {NEXT}"):
        open_store(database.url)
    assert any("migrate" in finding for _, finding in store.health().findings)
    assert migrated(database.url) == [f"{NEXT:04}_next"]
    assert the(store, job_id).args == '{"a":1}'
    assert worker.run(OK).id == job_id
    with closing(open_store(database.url)) as newer:
        assert newer.health().schema == NEXT
        put(newer)
    assert worker.run(OK).id > job_id


def test_a_newer_schema_is_worked_with(
    database: Database, one_more: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that is not deployed yet opens a store that was migrated for the next one."""
    one_more(GOOD)
    migrated(database.url)
    monkeypatch.undo()
    with closing(open_store(database.url)) as store:
        put(store)
        Worker(store).run(OK)


def test_a_migration_is_applied_whole_or_not_at_all(
    store: PostgresStore, database: Database, one_more: Callable[[str], None]
) -> None:
    """One that fails half-way leaves the schema as it was, and the store in use goes on."""
    before = database.sql(SHAPE)
    one_more(BROKEN)
    with pytest.raises((ConfigurationError, Unavailable), match="no_such_table"):
        migrated(database.url)
    assert database.sql(SHAPE) == before
    put(store)


def test_a_lock_is_waited_for_a_bounded_time(
    database: Database, one_more: Callable[[str], None]
) -> None:
    """Behind somebody's open transaction a migration gives up: nobody queues behind it for long."""
    before = database.sql(SHAPE)
    one_more(GOOD)
    with psycopg.connect(database.url) as other:
        other.execute("select count(*) from workhorse.jobs")
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(migrated, database.url)
            with pytest.raises(Unavailable):
                waiting.result(30)
    assert database.sql(SHAPE) == before
    assert migrated(database.url) == [f"{NEXT:04}_next"]


def test_a_migration_has_less_patience_than_others(
    database: Database, one_more: Callable[[str], None]
) -> None:
    """Who comes behind it waits for its lock as well: it gives up before they do, after 3 s."""
    one_more("create table workhorse.told as select current_setting('lock_timeout') as patience;")
    migrated(database.url)
    assert database.sql("select patience from workhorse.told") == [("3s",)]
