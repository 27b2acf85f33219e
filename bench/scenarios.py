"""What is measured and how much of it: the plan as data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench import measure
from bench.measure import Figures, run_client
from bench.peers.protocol import Peer

EVERY: Final = 0.02
"""Seconds between two jobs of the latency scenario."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much of everything."""

    rounds: int
    one_by_one: int
    bulk: int
    concurrent: int
    drain: int
    long_drain: int
    latency_seconds: float
    scale_rows: int
    drains_in_a_row: int
    snapshot_jobs: int
    claims: int
    calm: float = 0.0
    """Seconds to wait at most, before each figure, until others leave the machine alone."""


FULL: Final = Size(
    rounds=5,
    one_by_one=5_000,
    bulk=100_000,
    concurrent=20_000,
    drain=20_000,
    long_drain=100_000,
    latency_seconds=10.0,
    scale_rows=1_000_000,
    drains_in_a_row=10,
    snapshot_jobs=300_000,
    claims=300,
)
QUICK: Final = Size(
    rounds=1,
    one_by_one=2_000,
    bulk=50_000,
    concurrent=20_000,
    drain=20_000,
    long_drain=50_000,
    latency_seconds=4.0,
    scale_rows=100_000,
    drains_in_a_row=4,
    snapshot_jobs=50_000,
    claims=200,
)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One thing measured, in a fresh store, one peer after the other within each round."""

    name: str
    title: str
    run: Callable[[Peer, Path, Size], Figures]
    units: Mapping[str, str]
    """The figures that are reported, with their units."""
    among: frozenset[str] = frozenset()
    """The peers it is about; none: it is for all."""

    def is_for(self, peer: Peer) -> bool:
        """Tell whether a peer has a part in it."""
        return self.name not in peer.without and (not self.among or peer.name in self.among)


def _enqueue(peer: Peer, folder: Path, operation: str, count: int) -> Figures:
    return run_client(peer.client(folder), operation, _share(peer, count))


def _share(peer: Peer, count: int) -> int:
    return max(1000, round(count * peer.share))


SCENARIOS: Final = (
    Scenario(
        "one_by_one",
        "enqueue one by one",
        lambda peer, folder, size: _enqueue(peer, folder, "one_by_one", size.one_by_one),
        {"per_second": "jobs/s"},
    ),
    Scenario(
        "bulk",
        "enqueue in bulk",
        lambda peer, folder, size: _enqueue(peer, folder, "bulk", size.bulk),
        {"per_second": "jobs/s"},
    ),
    Scenario(
        "concurrent",
        "enqueue by concurrent calls",
        lambda peer, folder, size: _enqueue(peer, folder, "concurrent", size.concurrent),
        {"per_second": "jobs/s"},
    ),
    Scenario(
        "drain",
        "drain, one worker process",
        lambda peer, folder, size: measure.drain(peer, folder, _share(peer, size.drain)),
        {
            "per_second": "jobs/s",
            "cpu_ms_per_1000": "CPU ms / 1,000 jobs",
            "rss_mib": "peak RSS MiB, the process that runs the jobs",
            "whole_mib": "PSS MiB, all its processes",
        },
    ),
    Scenario(
        "long_drain",
        "drain of a long queue, by one process and by two",
        lambda peer, folder, size: measure.drain(peer, folder, size.long_drain),
        {"per_second": "jobs/s", "cpu_ms_per_1000": "CPU ms / 1,000 jobs"},
        among=frozenset({"workhorse-pg", "workhorse-pg-2"}),
    ),
    Scenario(
        "latency",
        "pick-up latency",
        lambda peer, folder, size: measure.latency(peer, folder, size.latency_seconds, EVERY),
        {"p50": "p50 ms", "p95": "p95 ms", "p99": "p99 ms"},
    ),
)
