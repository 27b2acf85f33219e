"""What Python's `sqlite3` calls a transaction, and what it does not."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.store.hands import NOBODY, a_job, a_job_in, nothing_changed, put, state, the
from workhorse.domain.errors import InvalidJob, NotFound, Unavailable
from workhorse.domain.job import NewJob, State
from workhorse.store.opening import open_store
from workhorse.store.protocol import JobFilter, Store

AUTOCOMMIT = hasattr(sqlite3, "LEGACY_TRANSACTION_CONTROL")
"""From Python 3.12 on a connection may also follow PEP 249, or commit each statement."""
connect: Any = sqlite3.connect


@pytest.fixture
def legacy(store: Store, path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, timeout=0)) as connection:
        yield connection


@pytest.mark.parametrize("level", ["", "DEFERRED", "IMMEDIATE", "EXCLUSIVE"])
def test_the_driver_s_own_way(store: Store, path: Path, level: str) -> None:
    """The default connection begins as it would before any insert, in the way it was told to."""
    with closing(connect(path, isolation_level=level)) as connection:
        store.enqueue_with(connection, [a_job()])
        assert connection.in_transaction
        connection.rollback()
        assert store.list_jobs(JobFilter()) == []
        store.enqueue_with(connection, [a_job()])
        connection.commit()
    assert len(store.list_jobs(JobFilter())) == 1


def test_a_transaction_that_the_caller_began(store: Store, raw: sqlite3.Connection) -> None:
    """On a connection without a mode of its own, the caller says begin and commit."""
    raw.execute("begin")
    (answer,) = store.enqueue_with(raw, [a_job()])
    raw.execute("commit")
    assert the(store, answer.id).kind == "work"


def test_a_savepoint_of_the_caller(store: Store, raw: sqlite3.Connection) -> None:
    """A part of a transaction may be undone, and with it the jobs of that part alone."""
    raw.execute("begin")
    store.enqueue_with(raw, [a_job(args="1")])
    raw.execute("savepoint mine")
    store.enqueue_with(raw, [a_job(args="2")])
    raw.execute("rollback to mine")
    raw.execute("commit")
    assert [job.args for job in store.list_jobs(JobFilter())] == ["1"]


def test_a_connection_without_a_transaction_is_refused(
    store: Store, raw: sqlite3.Connection
) -> None:
    """It would commit each statement: that is no transaction of the caller's."""
    with nothing_changed(store), pytest.raises(InvalidJob, match="transaction"):
        store.enqueue_with(raw, [a_job()])


@pytest.mark.skipif(not AUTOCOMMIT, reason="Python before 3.12 has no such connections")
@pytest.mark.parametrize("autocommit", [True, False])
def test_a_connection_after_pep_249(store: Store, path: Path, autocommit: bool) -> None:
    """With `autocommit=False` it always has a transaction; with True it has none."""
    with closing(connect(path, autocommit=autocommit)) as connection:
        if autocommit:
            with nothing_changed(store), pytest.raises(InvalidJob, match="transaction"):
                store.enqueue_with(connection, [a_job()])
        else:
            store.enqueue_with(connection, [a_job()])
            connection.commit()
            assert len(store.list_jobs(JobFilter())) == 1


def test_a_connection_to_something_else(store: Store) -> None:
    """`InvalidJob` that says so; nothing is left in its transaction."""
    with closing(sqlite3.connect(":memory:")) as stranger:
        stranger.execute("create table jobs (id integer)")
        with (
            nothing_changed(store),
            pytest.raises(InvalidJob, match=r"not to the store .*, but to no file"),
        ):
            store.enqueue_with(stranger, [a_job()])
        assert stranger.execute("select * from jobs").fetchall() == []


@pytest.mark.parametrize("how", ["?mode=ro", "pragma query_only = on"])
def test_a_connection_that_may_only_read(store: Store, path: Path, how: str) -> None:
    """To try again would change nothing: `InvalidJob`, and its transaction is as it was."""
    uri = f"file:{path}{how if how.startswith('?') else ''}"
    with closing(sqlite3.connect(uri, uri=True)) as reader:
        if not how.startswith("?"):
            reader.execute(how)
        with nothing_changed(store), pytest.raises(InvalidJob, match="session is read-only"):
            store.enqueue_with(reader, [a_job()])
        reader.rollback()


def test_a_connection_of_another_thread(store: Store, path: Path) -> None:
    """The driver lets no other thread use it: `InvalidJob` that says so."""
    with ThreadPoolExecutor(1) as pool:
        theirs = pool.submit(sqlite3.connect, path).result()
        with nothing_changed(store), pytest.raises(InvalidJob, match="thread"):
            store.enqueue_with(theirs, [a_job()])
        pool.submit(theirs.close).result()


def test_another_writer_was_faster(store: Store, legacy: sqlite3.Connection) -> None:
    """A caller who has read before may have to begin again: it is told, and nothing is stored."""
    legacy.execute("begin deferred")
    assert legacy.execute("select count(*) from jobs").fetchone() == (0,)
    put(store)
    with nothing_changed(store), pytest.raises(Unavailable, match="transaction") as refused:
        store.enqueue_with(legacy, [a_job()])
    assert "all of it again" in str(refused.value.hint)
    legacy.rollback()
    store.enqueue_with(legacy, [a_job()])
    legacy.commit()
    assert len(store.list_jobs(JobFilter())) == 2


def test_another_writes_at_this_moment(
    store: Store, raw: sqlite3.Connection, legacy: sqlite3.Connection
) -> None:
    """Who has read before does not get the lock by waiting: what is read is soon out of date."""
    legacy.execute("begin deferred")
    assert legacy.execute("select count(*) from jobs").fetchone() == (0,)
    raw.execute("begin immediate")
    with pytest.raises(Unavailable, match="busy") as refused:
        store.enqueue_with(legacy, [a_job()])
    assert "all of it again" in str(refused.value.hint)
    raw.execute("rollback")


def test_a_store_is_opened_in_the_middle_of_a_transaction(
    store: Store, url: str, legacy: sqlite3.Connection
) -> None:
    """The first enqueue of a process may come when its caller's transaction writes already."""
    legacy.execute("create table mine (number integer)")
    legacy.execute("insert into mine values (1)")
    with closing(open_store(url)) as opened_late:
        opened_late.enqueue_with(legacy, [a_job()])
        legacy.commit()
        assert len(opened_late.list_jobs(JobFilter())) == 1


def of_every_form(holder: int, done: int) -> list[NewJob]:
    """Jobs of which each is answered from rows of another statement."""
    return [
        a_job(unique="k", after=[holder]),
        a_job(after=[holder, done]),
        a_job(idempotency_key="i"),
        a_job(idempotency_key="i"),
    ]


def test_rows_as_the_caller_likes_them(store: Store, legacy: sqlite3.Connection) -> None:
    """What a caller has set for its own rows and texts changes nothing here, and is not changed."""
    legacy.row_factory = sqlite3.Row
    legacy.text_factory = bytes
    holder, done = put(store, unique="k"), a_job_in(State.SUCCEEDED, store)
    held, blocked, new, old = store.enqueue_with(legacy, of_every_form(holder, done))
    legacy.commit()
    assert (held.id, held.state, held.existing) == (holder, State.AVAILABLE, True)
    assert blocked.state is state(store, blocked.id) is State.BLOCKED
    assert (old.id, old.state, old.existing) == (new.id, State.AVAILABLE, True)
    assert (legacy.row_factory, legacy.text_factory) == (sqlite3.Row, bytes)
    with pytest.raises(NotFound):
        store.enqueue_with(legacy, [a_job(after=[NOBODY])])
    assert legacy.text_factory is bytes


def test_columns_that_the_caller_converts(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Converters by a column's declared type are for the caller's own columns."""
    for name in ("TEXT", "INTEGER"):
        monkeypatch.setitem(sqlite3.converters, name, lambda raw: [raw])
    holder, done = put(store, unique="k"), a_job_in(State.SUCCEEDED, store)
    types = sqlite3.PARSE_DECLTYPES | sqlite3.PARSE_COLNAMES
    with closing(sqlite3.connect(path, detect_types=types)) as mine:
        held, blocked, new, old = store.enqueue_with(mine, of_every_form(holder, done))
        mine.commit()
    assert (held.id, held.state, held.existing) == (holder, State.AVAILABLE, True)
    assert blocked.state is state(store, blocked.id) is State.BLOCKED
    assert (old.id, old.state, old.existing) == (new.id, State.AVAILABLE, True)
