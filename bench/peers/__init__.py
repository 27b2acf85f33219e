"""The table of peers: a new one is a module beside this one and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bench.peers.huey_sqlite import HueySqlite
from bench.peers.protocol import Peer, Scalable
from bench.peers.workhorse_sqlite import WorkhorseSqlite

NO_BULK: Final = frozenset({"bulk"})
US: Final = WorkhorseSqlite("workhorse-full", durability="full")
PEERS: Final[Mapping[str, Peer]] = {
    peer.name: peer
    for peer in (
        US,
        HueySqlite("huey-full", durability="full", without=NO_BULK),
        WorkhorseSqlite("workhorse-normal", durability="normal"),
        HueySqlite("huey-normal", durability="normal", without=NO_BULK),
        HueySqlite("huey-off", durability="off", without=NO_BULK | {"latency"}),
        WorkhorseSqlite(
            "workhorse-thread",
            durability="full",
            run="thread",
            without=frozenset({"one_by_one", "bulk", "latency"}),
        ),
    )
}
SCALED: Final[Mapping[str, Scalable]] = {US.name: US}
"""Peers whose stores are made large."""
