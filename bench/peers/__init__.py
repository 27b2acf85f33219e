"""The table of peers: a new one is a module beside this one and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bench.peers.bare_sqlite import BareSqlite
from bench.peers.huey_sqlite import HueySqlite
from bench.peers.node_peer import Graphile, PgBoss
from bench.peers.pgqueuer import Pgqueuer
from bench.peers.protocol import Peer, Scalable
from bench.peers.workhorse_postgres import WorkhorsePostgres
from bench.peers.workhorse_sqlite import WorkhorseSqlite

ENQUEUING: Final = frozenset({"one_by_one", "bulk", "concurrent"})
NO_BULK: Final = frozenset({"bulk", "concurrent"})
ONLY_DRAIN: Final = ENQUEUING | {"latency"}
NOT_ONE_BY_ONE: Final = frozenset({"bulk", "concurrent", "drain", "latency"})
US: Final = WorkhorseSqlite("workhorse-full", durability="full")
US_ON_POSTGRES: Final = WorkhorsePostgres("workhorse-pg")
PEERS: Final[Mapping[str, Peer]] = {
    peer.name: peer
    for peer in (
        US,
        HueySqlite("huey-full", durability="full", without=NO_BULK),
        BareSqlite("bare-sqlite-full", durability="full", without=NOT_ONE_BY_ONE),
        WorkhorseSqlite("workhorse-normal", durability="normal"),
        HueySqlite("huey-normal", durability="normal", without=NO_BULK),
        HueySqlite("huey-off", durability="off", without=NO_BULK | {"latency"}),
        WorkhorseSqlite(
            "workhorse-thread",
            durability="full",
            run="thread",
            without=ONLY_DRAIN,
        ),
        US_ON_POSTGRES,
        WorkhorsePostgres("workhorse-pg-2", processes=2, without=ONLY_DRAIN),
        Pgqueuer("pgqueuer-1000", batch=1000),
        Pgqueuer("pgqueuer-100", batch=100, without=ENQUEUING),
        Graphile(
            "graphile-worker",
            module="graphile",
            packages=("graphile-worker", "pg"),
            settings={
                "concurrentJobs": 24,
                "localQueue": 500,
                "completeJobBatchDelay": 0,
                "maxPoolSize": 10,
            },
            without=frozenset({"concurrent"}),
        ),
        PgBoss(
            "pg-boss",
            module="pgboss",
            packages=("pg-boss", "pg"),
            settings={"batchSize": 500, "burstWhenBatchFull": True, "notify": True},
            without=frozenset({"concurrent"}),
        ),
    )
}
SCALED: Final[Mapping[str, Scalable]] = {us.name: us for us in (US, US_ON_POSTGRES)}
"""Peers whose stores are made large."""
