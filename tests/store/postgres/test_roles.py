"""What a role must be allowed: the guide says it, and it is enough.

That an app needs no more shows the whole suite where it takes every kind of store: the role that
is serializable may do no more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from psycopg.sql import SQL, Identifier

from tests.services.postgres import Cluster, Database
from tests.services.rights import APP, OWNER, WATCHER, rights
from tests.store.hands import OK, Worker, put, the
from workhorse.domain.errors import Unavailable
from workhorse.domain.job import State
from workhorse.store.opening import open_store
from workhorse.store.protocol import JobFilter, Store


@pytest.fixture
def shop(cluster: Cluster) -> Iterator[Database]:
    """A database, migrated by a role that may, in which the others have what the guide grants."""
    roles = (OWNER, APP, WATCHER)
    database = cluster.create_database("shop")
    try:
        for role in roles:
            cluster.sql(SQL("create role {} login").format(Identifier(role)))
        database.sql(rights(OWNER))
        with closing(open_store(url_of(database, OWNER), migrating=True)) as store:
            store.migrate()
        for role in (APP, WATCHER):
            database.sql(rights(role))
        yield database
    finally:
        cluster.drop_database(database.name)
        for role in roles:
            cluster.sql(SQL("drop role if exists {}").format(Identifier(role)))


def url_of(database: Database, role: str) -> str:
    return database.cluster.url(database.name, user=role)


def test_an_app_and_one_who_only_looks(shop: Database) -> None:
    """The one enqueues and runs; the other sees all of it, and changes nothing."""
    with (
        closing(open_store(url_of(shop, APP))) as app,
        closing(open_store(url_of(shop, WATCHER))) as watcher,
    ):
        job = put(app)
        Worker(app).run(OK)
        assert the(watcher, job).state is State.SUCCEEDED
        assert watcher.list_jobs(JobFilter()) == [the(app, job)]
        assert watcher.events() == app.events()
        assert watcher.workers() == app.workers()
        assert watcher.counts() == app.counts()
        with pytest.raises(Unavailable, match="permission denied for table jobs"):
            put(watcher)
        assert len(app.list_jobs(JobFilter())) == 1


def test_what_a_later_migration_adds(shop: Database) -> None:
    """Is theirs as well: nothing is to be granted again."""
    as_owner = "set role shop_owner; create table workhorse.later (id bigserial)"
    shop.sql(as_owner)
    for role, right in ((APP, "insert, select, update, delete"), (WATCHER, "select")):
        for one in right.split(", "):
            held = "select has_table_privilege(%s, 'workhorse.later', %s)"
            assert shop.sql(held, role, one) == [(True,)]
    assert shop.sql("select has_sequence_privilege('app', 'workhorse.later_id_seq', 'usage')") == [
        (True,)
    ]


@pytest.mark.parametrize(
    "act",
    [
        pytest.param(put, id="a client"),
        pytest.param(Worker, id="a worker"),
        pytest.param(lambda store: store.list_jobs(JobFilter()), id="a look"),
    ],
)
def test_a_right_that_is_missing(shop: Database, act: Callable[[Store], object]) -> None:
    """The error names it, and says what to do; once it is granted the same store goes on."""
    with closing(open_store(url_of(shop, APP))) as store:
        shop.sql("revoke all on all tables in schema workhorse from app")
        with pytest.raises(Unavailable, match="permission denied") as refused:
            act(store)
        assert "Roles" in str(refused.value.hint)
        shop.sql(rights(APP))
        act(store)
