"""The table of peers, each at its best setting: a new one is a module in `apps` and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bench.peers.bare_sqlite import BareSqlite
from bench.peers.huey_sqlite import HueySqlite
from bench.peers.node_peer import NodeOnPostgres, NodeOnRedis
from bench.peers.protocol import Peer, Scalable, Snapshotted
from bench.peers.python_app import AppOnPostgres, AppOnRedis
from bench.peers.workhorse_postgres import WorkhorsePostgres
from bench.peers.workhorse_sqlite import WorkhorseSqlite

CONCURRENT: Final = frozenset({"concurrent"})
NO_BULK: Final = CONCURRENT | {"bulk"}
ENQUEUING: Final = NO_BULK | {"one_by_one"}
ONLY_DRAIN: Final = ENQUEUING | {"latency"}
NOT_ONE_BY_ONE: Final = frozenset({"bulk", "concurrent", "drain", "latency"})
US: Final = WorkhorseSqlite("workhorse-full", durability="full")
US_ON_POSTGRES: Final = WorkhorsePostgres("workhorse-pg")

_ON_SQLITE: Final = (
    US,
    HueySqlite("huey-full", durability="full", without=NO_BULK),
    BareSqlite("bare-sqlite-full", durability="full", without=NOT_ONE_BY_ONE),
    WorkhorseSqlite("workhorse-normal", durability="normal"),
    HueySqlite("huey-normal", durability="normal", without=NO_BULK),
    HueySqlite("huey-off", durability="off", without=NO_BULK | {"latency"}),
    WorkhorseSqlite("workhorse-thread", durability="full", run="thread", without=ONLY_DRAIN),
)
_PGQUEUER_LOOK: Final = "select from pgqueuer limit 1"
_ON_POSTGRES: Final = (
    US_ON_POSTGRES,
    WorkhorsePostgres("workhorse-pg-2", processes=2, without=ONLY_DRAIN | {"drain"}),
    AppOnPostgres(
        "pgqueuer-1000",
        module="pgqueuer",
        packages=("asyncpg",),
        look=_PGQUEUER_LOOK,
        options={"batch_size": 1000},
        settings={"driver": "asyncpg pool", "durability": "durable", "autovacuum": "its own"},
    ),
    AppOnPostgres(
        "pgqueuer-100",
        module="pgqueuer",
        look=_PGQUEUER_LOOK,
        options={"batch_size": 100},
        settings={"driver": "asyncpg pool", "durability": "durable", "autovacuum": "its own"},
        without=ENQUEUING,
    ),
    NodeOnPostgres(
        "graphile-worker",
        module="graphile",
        look="select from graphile_worker._private_jobs limit 1",
        packages=("graphile-worker", "pg"),
        settings={"concurrentJobs": 24, "localQueue": 500, "completeJobBatchDelay": 0},
    ),
    NodeOnPostgres(
        "pg-boss",
        module="pgboss",
        look="select from pgboss.job where name = 'bench' and state < 'completed' limit 1",
        packages=("pg-boss",),
        settings={"batchSize": 500, "burstWhenBatchFull": True, "notify": True},
        without=CONCURRENT,  # so many calls at once time out in its pool
    ),
    AppOnPostgres(
        "oban",
        module="oban",
        look="""
            select from oban_jobs where state in ('available', 'executing', 'retryable') limit 1
        """,
        group="bench-oban",
        options={"limit": 100},
        share=0.25,
    ),
    AppOnPostgres(
        "procrastinate",
        module="procrastinate",
        look="select from procrastinate_jobs where status in ('todo', 'doing') limit 1",
        options={"concurrency": 20},
        share=0.05,
        without=CONCURRENT,  # it enqueues by its synchronous connector
    ),
    AppOnPostgres(
        "saq",
        module="saq",
        look="select from saq_jobs where status in ('new', 'queued', 'active') limit 1",
        options={"concurrency": 100},
        share=0.1,
        without=NO_BULK,
    ),
)
_ON_REDIS: Final = (
    NodeOnRedis(
        "bullmq-node",
        module="bullmq",
        look=("LLEN bull:bench:wait", "LLEN bull:bench:active"),
        packages=("bullmq", "ioredis"),
        settings={"concurrency": 100, "removeOnComplete": True},
    ),
    AppOnRedis(
        "bullmq-python",
        module="bullmq",
        look=("LLEN bull:bench:wait", "LLEN bull:bench:active"),
        group="bench-redis",
        packages=("redis", "hiredis"),
        options={"concurrency": 100},
        settings={"removeOnComplete": True},
        share=0.2,
    ),
    AppOnRedis(
        "dramatiq",
        module="dramatiq",
        look=("HLEN dramatiq:bench.msgs",),
        group="bench-redis",
        options={"threads": 8},
        settings={"processes": 1},
        share=0.2,
        without=NO_BULK,
    ),
    AppOnRedis(
        "arq",
        module="arq",
        look=("ZCARD arq:queue",),
        group="bench-arq",
        options={"max_jobs": 100},
        settings={"keep_result": 0},
        share=0.2,
        without=NO_BULK,
    ),
    AppOnRedis(
        "celery",
        module="celery",
        look=("LLEN bench",),
        group="bench-redis",
        options={"concurrency": 2},
        settings={"prefetch": 100, "acknowledgement": "early", "results": False},
        share=0.1,
        without=NO_BULK,
    ),
    AppOnRedis(
        "rq",
        module="rq",
        look=("LLEN rq:queue:bench", "ZCARD rq:wip:bench"),
        group="bench-redis",
        settings={"worker": "SimpleWorker", "result_ttl": 0},
        share=0.05,
        without=CONCURRENT,
    ),
)
PEERS: Final[Mapping[str, Peer]] = {
    peer.name: peer for peer in (*_ON_SQLITE, *_ON_POSTGRES, *_ON_REDIS)
}
SCALED: Final[Mapping[str, Scalable]] = {us.name: us for us in (US, US_ON_POSTGRES)}
"""Peers whose stores are made large."""
SNAPSHOTTED: Final[Mapping[str, Snapshotted]] = {US_ON_POSTGRES.name: US_ON_POSTGRES}
"""Peers that are measured beside a long transaction."""
