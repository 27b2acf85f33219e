"""Numbered migrations: each once, whole, in order, whoever comes first."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.store.hands import put, the
from tests.store.migrating import one_more_for
from workhorse.domain.errors import ConfigurationError, Unavailable
from workhorse.store.opening import open_store
from workhorse.store.sqlite import health, migrate
from workhorse.store.statements import migrations

TOUR = Path(__file__).parents[3] / "docs" / "guide" / "tour.md"
KNOWN = migrations("sqlite")
NEXT = KNOWN[-1][0] + 1
GOOD = """
-- A column, and a trigger with statements of its own.
alter table jobs add column colour text;
create table colours (name text primary key) strict;
create trigger colours_are_kept before delete on colours
begin
    select raise(abort, 'kept; always');
end;
insert into colours values ('red;'), ('green');
"""
BROKEN = "create table half_way (id integer);\ninsert into no_such_table values (1);\n"
OPEN_STORES = """
import sys
from workhorse.store.opening import open_store
sys.stdin.readline()
for _ in range(5):
    open_store(sys.argv[1]).close()
"""


@pytest.fixture
def one_more(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that lets this Workhorse know one migration more."""
    return one_more_for(monkeypatch, "sqlite", migrate, health)


def schema(path: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as raw:
        return raw.execute("select type, name, sql from sqlite_schema order by name").fetchall()


def test_migrations_are_numbered(path: Path) -> None:
    """From one on, without a gap, each with a name that says what it is about."""
    assert [number for number, _, _ in KNOWN] == list(range(1, len(KNOWN) + 1))
    assert all(name == f"{number:04}_{name[5:]}" and name[5:] for number, name, _ in KNOWN)


def test_an_empty_file_becomes_a_store(url: str, path: Path) -> None:
    """Opening applies every migration, and says which when it is asked to."""
    path.touch()
    with closing(open_store(url)) as store:
        assert store.health().schema == KNOWN[-1][0]
        assert list(store.migrate()) == []
    with closing(sqlite3.connect(path)) as raw:
        applied = raw.execute("select number, name from schema_version").fetchall()
    assert applied == [(number, name) for number, name, _ in KNOWN]


def test_a_file_of_somebody_elses_is_refused(url: str, path: Path) -> None:
    """Not one table of ours is made there, unless that is asked for."""
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("create table songs (version text)")
    before, content = schema(path), path.read_bytes()
    with pytest.raises(ConfigurationError, match="is not a Workhorse store") as refused:
        open_store(url)
    assert refused.value.hint
    assert (schema(path), path.read_bytes()) == (before, content)


@pytest.mark.parametrize("tables", [["events", "jobs"], ["Jobs"], ["schema_version"], ["jobs_due"]])
def test_a_file_that_has_tables_of_the_same_names(url: str, path: Path, tables: list[str]) -> None:
    """It cannot be shared: that is said, and by whom the names are taken; nothing is changed."""
    with closing(sqlite3.connect(path)) as raw:
        for table in tables:
            raw.execute(f"create table {table} (number integer, name text)")
            raw.execute(f"insert into {table} values (7, 'the seventh')")
        raw.commit()
    before = schema(path)
    for migrating in (False, True):
        with pytest.raises(ConfigurationError) as refused:
            open_store(url, migrating=migrating)
        assert refused.value.message.startswith(f"{path} is not a Workhorse store, but has")
        assert all(repr(table) in refused.value.message for table in tables)
        assert refused.value.hint == "Give the jobs a file of their own."
    assert schema(path) == before


def test_the_names_of_the_tables_are_told(url: str, path: Path) -> None:
    """The tour names every table that a file cannot have beside a store."""
    open_store(url).close()
    with closing(sqlite3.connect(path)) as raw:
        tables = raw.execute(
            "select name from sqlite_schema where type = 'table' and name not glob 'sqlite_*'"
        ).fetchall()
    tour = TOUR.read_text(encoding="utf-8")
    assert [name for (name,) in tables if f"`{name}`" not in tour] == []


def test_a_file_that_is_to_be_shared_is_migrated(url: str, path: Path) -> None:
    """On request a store is made beside the tables that are there, and is one from then on."""
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("create table songs (name text)")
        raw.execute("insert into songs values ('la')")
        raw.commit()
    open_store(url, migrating=True).close()
    with closing(open_store(url)) as store:
        put(store)
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("select name from songs").fetchall() == [("la",)]


def test_opening_twice_changes_nothing(url: str, path: Path) -> None:
    """The second time there is nothing left to do."""
    open_store(url).close()
    before = schema(path)
    open_store(url).close()
    assert schema(path) == before


def test_many_come_at_once(url: str, path: Path) -> None:
    """Processes that open an empty store in the same instant all find it ready."""
    command = [sys.executable, "-c", OPEN_STORES, url]
    crowd = [subprocess.Popen(command, stdin=subprocess.PIPE) for _ in range(4)]
    for one in crowd:
        assert one.stdin is not None
        one.stdin.close()
    assert [one.wait(30) for one in crowd] == [0] * 4
    with closing(open_store(url)) as store:
        assert store.health().schema == KNOWN[-1][0]


def test_what_was_there_stays(url: str, one_more: Callable[[str], None]) -> None:
    """A later migration is applied to a store in use, and keeps what it holds."""
    with closing(open_store(url)) as store:
        job_id = put(store, args='{"a":1}')
        one_more(GOOD)
        assert any("migrate" in finding for _, finding in store.health().findings)
        assert list(store.migrate()) == [f"{NEXT:04}_next"]
        assert list(store.migrate()) == []
        assert store.health().schema == NEXT
        assert the(store, job_id).args == '{"a":1}'
        assert not any("migrate" in finding for _, finding in store.health().findings)


def test_a_migration_is_applied_whole_or_not_at_all(
    url: str, path: Path, one_more: Callable[[str], None]
) -> None:
    """One that fails half-way leaves the schema as it was, and the store in use goes on."""
    with closing(open_store(url)) as store:
        put(store)
        before = schema(path)
        one_more(BROKEN)
        with pytest.raises(Unavailable, match="no_such_table"):
            store.migrate()
        with pytest.raises(Unavailable, match="no_such_table"):
            open_store(url)
        assert schema(path) == before
        assert store.health().schema == KNOWN[-1][0]
        put(store)


def test_a_store_of_a_newer_workhorse_is_refused(
    url: str, path: Path, one_more: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older program does not touch what it does not know, and says what to do.

    It is not to try again later, as for a store that is out of reach: nothing would have changed.
    """
    one_more(GOOD)
    open_store(url).close()
    before = schema(path)
    monkeypatch.undo()
    with pytest.raises(ConfigurationError, match="newer Workhorse") as caught:
        open_store(url)
    assert caught.value.exit_code == 3
    assert caught.value.hint
    assert schema(path) == before


def test_a_script_is_split_into_its_statements() -> None:
    """Comments, texts with semicolons and triggers stay whole."""
    statements = list(migrate.split(GOOD))
    assert [statement.split()[-1] for statement in statements] == [
        "text;",
        "strict;",
        "end;",
        "('green');",
    ]
