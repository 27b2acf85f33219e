"""The run on paper: JSON with every figure, and Markdown with medians, ratios and floors."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, NamedTuple

from bench.floors import compared, grown, judge, last_by_first, plain, slowed, values
from bench.peers.protocol import Peer
from bench.rounds import OURS, Cell
from bench.scale import STORES
from bench.scenarios import SCENARIOS, Size
from bench.spread import Spread, number

COMPARED: Final = ("per_second", "cpu_ms_per_1000", "p50", "p99")
"""The figures whose ratios are told."""
RESULTS: Final = Path(__file__).parent / "results"


class Run(NamedTuple):
    """Everything one run found."""

    facts: Mapping[str, Any]
    size: Size
    peers: Sequence[Peer]
    cells: list[Cell]


def save(run: Run, folder: Path, name: str) -> Path:
    """Write both files and return the path of the Markdown one."""
    folder.mkdir(parents=True, exist_ok=True)
    data = {
        "facts": run.facts,
        "size": asdict(run.size),
        "cells": [cell._asdict() for cell in run.cells],
    }
    (folder / f"{name}.json").write_text(json.dumps(data, indent=1) + "\n")
    page = folder / f"{name}.md"
    page.write_text(render(run))
    return page


def render(run: Run) -> str:
    """Return the run as Markdown."""
    parts = (_head, _absolute, _ratios, _scale, _in_a_row, _snapshot, _settings, _floors)
    return "\n".join(part(run) for part in parts)


def pairs(peers: Sequence[Peer]) -> Iterator[tuple[Peer, Peer]]:
    """Yield ours beside theirs on the same store, and ours on PostgreSQL beside theirs on Redis.

    At the same durability, that is, and where theirs is none, our weakest.
    """
    for ours in peers:
        for theirs in peers:
            if ours.name.startswith(OURS) and not theirs.name.startswith(OURS):
                alike = theirs.store == ours.store and theirs.durability == ours.durability
                least = theirs.store == ours.store and theirs.durability == "off"
                least &= ours.durability == "normal"
                context = theirs.store == "redis" and ours.store == "postgres"
                if alike or least or context:
                    yield ours, theirs


def _head(run: Run) -> str:
    facts, rounds = run.facts, run.size.rounds
    noise = max((cell.foreign_cores for cell in run.cells), default=0.0)
    left_out = "".join(f"\n**Left out: {name}**, {why}.\n" for name, why in _left_out(run))
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    return (
        f"# Bench, {facts['when']}\n\n"
        f"`{facts['command']}` at commit {facts['commit']}, on {facts['cores']} × {facts['cpu']}, "
        f"{facts['memory_gib']} GiB, {facts['file_system']}, {facts['system']}. "
        f"Python {facts['python']}, SQLite {facts['sqlite']}, "
        f"uvloop {facts['uvloop'] or 'not installed'}; {versions}.\n\n"
        f"{rounds} round{'s' * (rounds != 1)}; others used at most {noise:.1f} cores meanwhile. "
        "Each figure is the median of the rounds (lowest–highest). Ratios are taken within a "
        "round: trust them more than the absolute figures.\n"
        f"{left_out}"
    )


def _left_out(run: Run) -> Sequence[tuple[str, str]]:
    absent = list(run.facts.get("left_out", {}).items())
    for scenario in SCENARIOS:
        taking_part = {cell.peer for cell in run.cells if cell.scenario == scenario.name}
        absent += [
            (peer.name, f"it failed: {scenario.title}")
            for peer in run.peers
            if taking_part and peer.name not in taking_part and scenario.is_for(peer)
        ]
    return absent


def _absolute(run: Run) -> str:
    parts = []
    for scenario in SCENARIOS:
        rows = [
            [_named(peer), *map(_cell, found)]
            for peer in run.peers
            if any(
                found := [
                    plain(scenario.name, peer.name, figure, run.cells) for figure in scenario.units
                ]
            )
        ]
        parts.append(_table(scenario.title.capitalize(), ["", *scenario.units.values()], rows))
    return "\n".join(parts)


def _ratios(run: Run) -> str:
    rows = [
        [f"{ours.name} : {theirs.name}", scenario.title, unit, found.times()]
        for ours, theirs in pairs(run.peers)
        for scenario in SCENARIOS
        for figure, unit in scenario.units.items()
        if figure in COMPARED
        if (found := compared(scenario.name, ours.name, theirs.name, figure, run.cells))
    ]
    return _table("Ratios, paired by round", ["ours : theirs", "scenario", "figure", "ratio"], rows)


def _scale(run: Run) -> str:
    rows = [
        [peer.name, store, _cell(rate), _times(grown(peer.name, store, run.cells))]
        for peer in run.peers
        for store in STORES
        if (rate := plain("scale", peer.name, "per_second", run.cells, store))
    ]
    title = f"Drain of a store with {run.size.scale_rows:,} rows more"
    return _table(title, ["", "store", "jobs/s", "by the empty one's"], rows)


def _in_a_row(run: Run) -> str:
    rows = [
        [peer.name, " · ".join(map(number, row)), _times(last_by_first(peer.name, run.cells))]
        for peer in run.peers
        if (row := values(run.cells, "in_a_row", peer.name, "per_second"))
    ]
    return _table("Drains of one store in a row", ["", "jobs/s", "last by first"], rows)


def _snapshot(run: Run) -> str:
    rows = [
        [peer.name, _cell(one), _cell(other), _times(slowed(peer.name, run.cells))]
        for peer in run.peers
        if (one := plain("snapshot", peer.name, "p99", run.cells))
        if (other := plain("snapshot", peer.name, "p99", run.cells, "snapshot"))
    ]
    title = f"Claims after {run.size.snapshot_jobs:,} jobs beside one open transaction"
    return _table(title, ["", "p99 ms without", "p99 ms beside it", "ratio"], rows)


def _settings(run: Run) -> str:
    rows = [
        [_named(peer), ", ".join(f"{name} {value}" for name, value in peer.settings().items())]
        for peer in run.peers
    ]
    rows += [
        [name, ", ".join(f"{key} {value}" for key, value in found.items())]
        for name, found in run.facts.get("servers", {}).items()
    ]
    return _table("Settings", ["", ""], rows)


def _named(peer: Peer) -> str:
    durability = "not durable" if peer.store == "redis" else peer.durability.upper()
    return f"{peer.name} ({durability})"


def _floors(run: Run) -> str:
    lines = "\n".join(judge(run.cells, run.facts["stores"])[0])
    return f"## Floors\n\n```text\n{lines}\n```\n"


def _times(found: Spread | None) -> str:
    return found.times() if found else "–"


def _cell(found: Spread | None) -> str:
    return str(found) if found else "–"


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return f"## {title}\n\nNot measured.\n"
    lines = [_line(head), _line(["---"] * len(head)), *map(_line, rows)]
    return f"## {title}\n\n" + "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
