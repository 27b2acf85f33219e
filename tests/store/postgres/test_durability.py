"""What a caller was told is on the server's disk; a bare claim alone may get there later."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import pytest

from tests.services.postgres import Cluster, Database
from tests.store.hands import ERROR, OK, Worker, put, put_many, settled
from workhorse.domain.events import Output, OutputLine
from workhorse.store.opening import open_store
from workhorse.store.postgres import PostgresStore

Waited = Callable[[], list[str]]


@pytest.fixture
def waited(database: Database) -> Waited:
    """Whether each commit since the last look, as the server saw it, waited for the disk."""
    database.sql("create table commits (number int generated always as identity, waited text)")
    database.sql(
        "create function note() returns trigger language plpgsql as $$ begin"
        " insert into commits (waited) values (current_setting('synchronous_commit'));"
        " return null; end $$"
    )
    database.sql(
        "create constraint trigger note after insert on workhorse.events"
        " deferrable initially deferred for each row execute function note()"
    )

    def look() -> list[str]:
        noted = database.sql("delete from commits returning waited")
        return sorted({waited for (waited,) in noted})

    return look


def test_a_bare_claim_is_flushed_later(store: PostgresStore, waited: Waited) -> None:
    """A claim is a lease that may be lost: its handler does not wait for the disk."""
    put(store)
    worker = Worker(store)
    assert waited() == ["on"]
    assert len(worker.claim()) == 1
    assert waited() == ["off"]


def test_whatever_else_is_written_is_flushed(store: PostgresStore, waited: Waited) -> None:
    """An end or a line is on the disk when it is acknowledged, the claim beside it too."""
    put_many(store, 6)
    worker = Worker(store)
    first, second, third, _, _ = worker.claim(5)
    waited()
    worker.turn([settled(first, OK)])
    assert waited() == ["on"]
    worker.turn([settled(second, OK)], claim=worker.request(1))
    assert waited() == ["on"]
    line = OutputLine(third.id, third.attempt, Output.LOG, '{"message":"m","stream":"log"}')
    put(store)
    waited()
    worker.turn(output=[line], claim=worker.request(1))
    assert waited() == ["on"]
    put(store)
    waited()
    worker.turn([settled(third, ERROR)], claim=worker.request(1))
    assert waited() == ["on"]


@pytest.mark.parametrize("of_one_job", [False, True])
def test_what_is_shown_of_a_claim_is_flushed(
    store: PostgresStore, database: Database, *, of_one_job: bool
) -> None:
    """Who follows the record reads on behind what was shown: no crash may take that back."""
    worker = Worker(store)
    for _ in range(10):
        job_id = put(store)
        worker.take()
        ((written,),) = database.sql("select pg_current_wal_insert_lsn()")
        page = store.events(job_id=job_id if of_one_job else None)
        assert (page[-1].name, page[-1].job_id) == ("claim", job_id)
        assert database.sql("select pg_current_wal_flush_lsn() >= %s::pg_lsn", written) == [(True,)]


def test_a_record_that_is_flushed_costs_no_commit(store: PostgresStore, database: Database) -> None:
    """To read what is on the disk writes nothing, unless the server has written meanwhile."""
    put(store)
    Worker(store).take()
    put(store)
    next_transaction = "select pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
    ((before,),) = database.sql(next_transaction)
    for _ in range(10):
        assert [event.name for event in store.events()][-2:] == ["claim", "enqueue"]
    ((after,),) = database.sql(next_transaction)
    assert after - before < 5


def test_what_is_shown_is_flushed_where_commits_do_not_wait(
    store: PostgresStore, database: Database
) -> None:
    """Also for a role or in a database whose commits wait for nothing."""
    worker = Worker(store)
    database.sql(f"alter database {database.name} set synchronous_commit = off")
    with closing(open_store(database.url)) as off:
        for _ in range(10):
            put(store)
            worker.take()
            ((written,),) = database.sql("select pg_current_wal_insert_lsn()")
            assert off.events()[-1].name == "claim"
            ((flushed,),) = database.sql("select pg_current_wal_flush_lsn() >= %s::pg_lsn", written)
            assert flushed


@pytest.mark.needs("pg18")
def test_events_are_shown_while_the_standby_is_gone() -> None:
    """What commits wait for is not there; to show the record takes this server's disk alone."""
    settings = {
        "wal_writer_delay": "10s",
        "synchronous_standby_names": "gone",
        "synchronous_commit": "local",
    }
    with Cluster("18", settings=settings) as cluster:
        database = cluster.create_database("workhorse")
        with closing(open_store(database.url, migrating=True)) as store:
            store.migrate()
            put(store)
            worker = Worker(store)
            database.sql("alter database workhorse set synchronous_commit = on")
            with closing(open_store(database.url)) as waiting:
                worker.take()
                assert [event.name for event in waiting.events()][-1] == "claim"


@pytest.mark.needs("pg18")
def test_a_crash_takes_back_nothing_that_was_shown() -> None:
    """What is enqueued after it has a number that comes after all that was seen before it."""
    with Cluster("18", settings={"wal_writer_delay": "10s"}) as cluster:
        url = cluster.create_database("workhorse").url
        with closing(open_store(url, migrating=True)) as store:
            store.migrate()
            put_many(store, 40)
            Worker(store).claim(40)
            shown = store.events()
            cluster.stop("immediate")
        cluster.start()
        with closing(open_store(url)) as store:
            assert store.events() == shown
            late = put(store)
            assert [event.job_id for event in store.events(after=shown[-1].seq)] == [late]
