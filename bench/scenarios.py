"""What is measured, of whom, and how much: the plan as data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import measure
from bench.measure import Figures, run_client
from bench.peers.protocol import Peer


@dataclass(frozen=True, slots=True)
class Size:
    """How much of everything."""

    rounds: int
    one_by_one: int
    bulk: int
    drain: int
    latency_seconds: float
    scale_rows: int
    drains_in_a_row: int


FULL = Size(
    rounds=3,
    one_by_one=5_000,
    bulk=100_000,
    drain=20_000,
    latency_seconds=10.0,
    scale_rows=1_000_000,
    drains_in_a_row=10,
)
QUICK = Size(
    rounds=1,
    one_by_one=2_000,
    bulk=50_000,
    drain=20_000,
    latency_seconds=4.0,
    scale_rows=100_000,
    drains_in_a_row=4,
)

EVERY = 0.02
"""Seconds between two jobs of the latency scenario."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One thing measured, in a fresh store, one peer after the other within each round."""

    name: str
    title: str
    peers: Sequence[str]
    run: Callable[[Peer, Path, Size], Figures]


SCENARIOS = (
    Scenario(
        "one_by_one",
        "enqueue one by one",
        ("workhorse-full", "huey-full", "workhorse-normal", "huey-normal", "huey-off"),
        lambda peer, folder, size: run_client(peer, folder, "one_by_one", size.one_by_one),
    ),
    Scenario(
        "bulk",
        "enqueue in bulk",
        ("workhorse-full", "workhorse-normal"),
        lambda peer, folder, size: run_client(peer, folder, "bulk", size.bulk),
    ),
    Scenario(
        "drain",
        "drain, one worker process",
        (
            "workhorse-full",
            "huey-full",
            "workhorse-normal",
            "huey-normal",
            "huey-off",
            "workhorse-thread",
        ),
        lambda peer, folder, size: measure.drain(peer, folder, size.drain),
    ),
    Scenario(
        "latency",
        "pick-up latency",
        ("workhorse-full", "huey-full", "workhorse-normal", "huey-normal"),
        lambda peer, folder, size: measure.latency(peer, folder, size.latency_seconds, EVERY),
    ),
)
