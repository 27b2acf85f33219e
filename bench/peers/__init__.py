"""The table of peers: a new one is a module beside this one and a line here."""

from __future__ import annotations

from bench.peers.huey_sqlite import HueySqlite
from bench.peers.protocol import Peer
from bench.peers.workhorse_sqlite import WorkhorseSqlite

PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        WorkhorseSqlite("workhorse-full", durability="full"),
        HueySqlite("huey-full", durability="full"),
        WorkhorseSqlite("workhorse-normal", durability="normal"),
        HueySqlite("huey-normal", durability="normal"),
        HueySqlite("huey-off", durability="off"),
        WorkhorseSqlite("workhorse-thread", durability="full", run="thread"),
    )
}
