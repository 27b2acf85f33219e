"""What a program has its driver read and write values as is for its own statements alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import closing
from typing import Any, TypeAlias

import asyncpg
import psycopg
import pytest
from psycopg.abc import AdaptContext, Buffer
from psycopg.adapt import AdaptersMap, Dumper, Loader
from psycopg.rows import dict_row
from psycopg.types.json import JsonbDumper

from tests.services.postgres import Database
from tests.store.hands import OK, Worker, a_job, a_job_in, put, state, the
from workhorse.domain.job import Enqueued, NewJob, State
from workhorse.store.opening import open_store
from workhorse.store.protocol import Store

Psycopg: TypeAlias = psycopg.Connection[Any] | psycopg.AsyncConnection[Any]


class OddLoader(Loader):
    """Reads something else."""

    def load(self, data: Buffer) -> Any:
        return [bytes(data)]


class OddDumper(Dumper):
    """Writes something else."""

    def dump(self, obj: Any) -> bytes:
        return b"odd"


def register_odd(context: AdaptContext) -> None:
    for name in ("text", "int8", "json", "bool"):
        context.adapters.register_loader(name, OddLoader)
    for kind in (str, int, bool, float):
        context.adapters.register_dumper(kind, OddDumper)
    for container in (list, dict):
        context.adapters.register_dumper(container, JsonbDumper)


def as_dicts(mine: Psycopg) -> None:
    mine.row_factory = dict_row


def by_raw_cursors(mine: Psycopg) -> None:
    if isinstance(mine, psycopg.Connection):
        mine.cursor_factory = psycopg.RawCursor
    else:
        mine.cursor_factory = psycopg.AsyncRawCursor


WAYS = [as_dicts, by_raw_cursors, register_odd]
ENCODINGS = ["SQL_ASCII", "LATIN1"]


class Asked:
    """Jobs of which each is answered from rows of another statement."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.holder = put(store, unique="k")
        done = a_job_in(State.SUCCEEDED, store)
        self.jobs: Sequence[NewJob] = [
            a_job(unique="k", after=[self.holder]),
            a_job(after=[self.holder, done]),
            a_job(idempotency_key="i"),
            a_job(idempotency_key="i"),
            a_job(args='"é"', timeout=0.5),
            a_job(args='"é"', timeout=0.5),
        ]

    def are_answered(self, answers: Sequence[Enqueued]) -> bool:
        """Check the answers, and what is stored."""
        held, blocked, new, old, *alike = answers
        assert (held.id, held.state, held.existing) == (self.holder, State.AVAILABLE, True)
        assert blocked.state is state(self.store, blocked.id) is State.BLOCKED
        assert (old.id, old.state, old.existing) == (new.id, State.AVAILABLE, True)
        for job in [the(self.store, answer.id) for answer in alike]:
            assert (job.args, job.timeout) == ('"é"', 0.5)
        return True


@pytest.mark.parametrize("way", WAYS)
def test_as_the_caller_likes_them(
    store: Store, database: Database, way: Callable[[Psycopg], None]
) -> None:
    """Rows, cursors, loaders and dumpers of a caller's session."""
    asked = Asked(store)
    with closing(psycopg.connect(database.url)) as mine:
        way(mine)
        answers = store.enqueue_with(mine, asked.jobs)
        mine.commit()
    assert asked.are_answered(answers)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_in_another_encoding(store: Store, database: Database, encoding: str) -> None:
    """A caller's session may have another than ours, or none."""
    asked = Asked(store)
    with closing(psycopg.connect(database.url, client_encoding=encoding)) as mine:
        answers = store.enqueue_with(mine, asked.jobs)
        mine.commit()
    assert asked.are_answered(answers)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_on_an_event_loop(
    store: Store, database: Database, way: Callable[[Psycopg], None], encoding: str
) -> None:
    """The same there."""
    asked = Asked(store)

    async def play() -> Sequence[Enqueued]:
        connect = psycopg.AsyncConnection.connect
        async with await connect(database.url, client_encoding=encoding) as mine:
            way(mine)
            return await store.aenqueue_with(mine, asked.jobs)

    assert asked.are_answered(asyncio.run(play()))


class Keys(asyncpg.Record):  # type: ignore[misc]  # it is untyped
    """A row that is a mapping to the full."""

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())


async def json_decoded(connection: Any) -> None:
    for name in ("json", "jsonb"):
        await connection.set_type_codec(
            name, schema="pg_catalog", encoder=json.dumps, decoder=json.loads
        )


async def nothing_decoded(connection: Any) -> None:
    """Leave it as it is."""


@pytest.mark.parametrize(
    ("codecs", "how"),
    [
        (json_decoded, {}),
        (nothing_decoded, {"record_class": Keys}),
        (nothing_decoded, {"server_settings": {"client_encoding": "LATIN1"}}),
    ],
)
def test_with_asyncpg(
    store: Store,
    database: Database,
    codecs: Callable[[Any], Awaitable[None]],
    how: dict[str, Any],
) -> None:
    """Its codecs and its class of rows."""
    asked = Asked(store)

    async def play() -> Sequence[Enqueued]:
        mine = await asyncpg.connect(database.url, **how)
        await codecs(mine)
        async with mine.transaction():
            answers = await store.aenqueue_with(mine, asked.jobs)
        await mine.close()
        return answers

    assert asked.are_answered(asyncio.run(play()))


def test_registered_with_the_driver(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a program has registered for all of its connections is not for the store's own."""
    adapters = AdaptersMap(psycopg.adapters)
    register_odd(adapters)
    monkeypatch.setattr(psycopg.postgres, "adapters", adapters)
    with closing(open_store(database.url)) as store:
        asked = Asked(store)
        assert asked.are_answered(store.enqueue(asked.jobs))
        assert Worker(store).run(OK).id == asked.holder
