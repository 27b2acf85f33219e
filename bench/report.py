"""The run on paper: JSON with every figure, and a markdown table of medians and ratios."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.floors import compared, judge, plain
from bench.peers import PEERS
from bench.rounds import Cell
from bench.scenarios import SCENARIOS, Size
from bench.spread import Spread

RESULTS = Path(__file__).parent / "results"
PAIRS = (
    ("workhorse-full", "huey-full"),
    ("workhorse-normal", "huey-normal"),
    ("workhorse-normal", "huey-off"),
    ("workhorse-thread", "huey-full"),
)
"""Who is compared with whom: the same durability, and one row where huey's is none."""
FIGURES = {
    "one_by_one": (("per_second", "jobs/s"),),
    "bulk": (("per_second", "jobs/s"),),
    "drain": (
        ("per_second", "jobs/s"),
        ("cpu_ms_per_1000", "CPU ms / 1,000 jobs"),
        ("rss_mib", "peak RSS MiB"),
    ),
    "latency": (("p50", "p50 ms"), ("p95", "p95 ms"), ("p99", "p99 ms")),
}


def save(facts: Mapping[str, Any], size: Size, cells: Sequence[Cell], name: str) -> Path:
    """Write both files and return the path of the markdown one."""
    RESULTS.mkdir(exist_ok=True)
    data = {
        "facts": facts,
        "size": {field: getattr(size, field) for field in size.__slots__},
        "cells": [cell._asdict() for cell in cells],
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(data, indent=1) + "\n")
    page = RESULTS / f"{name}.md"
    page.write_text(render(facts, size, cells))
    return page


def render(facts: Mapping[str, Any], size: Size, cells: Sequence[Cell]) -> str:
    """Return the run as markdown."""
    parts = [_head(facts, size, cells), _absolute(cells), _ratios(cells), _scale(cells)]
    parts.append("## Floors\n\n```\n" + "\n".join(judge(cells)[0]) + "\n```\n")
    return "\n".join(parts)


def _head(facts: Mapping[str, Any], size: Size, cells: Sequence[Cell]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
    noise = max((cell.foreign_cores for cell in cells), default=0.0)
    return (
        f"# Bench, {facts['when']}\n\n"
        f"{facts['cores']} × {facts['cpu']}, {facts['memory_gib']} GiB, {facts['file_system']}, "
        f"{facts['system']}. Python {facts['python']}, SQLite {facts['sqlite']}, "
        f"uvloop {facts['uvloop'] or 'not installed'}; {versions}; commit {facts['commit']}. "
        f"{size.rounds} round{'s' * (size.rounds != 1)}; others used at most {noise:.1f} cores "
        "meanwhile.\n\n"
        "Each figure is the median of the rounds (lowest–highest). Ratios are taken within a "
        "round: trust them more than the absolute figures.\n"
    )


def _absolute(cells: Sequence[Cell]) -> str:
    columns = [
        (scenario, figure, f"{scenario.title}: {unit}")
        for scenario in SCENARIOS
        for figure, unit in FIGURES[scenario.name]
    ]
    rows = []
    for name, peer in PEERS.items():
        row = [f"{name} ({peer.durability.upper()})"]
        for scenario, figure, _ in columns:
            row.append(_cell(plain(scenario.name, name, figure, cells)))
        rows.append(row)
    return _table("Figures", ["", *(title for _, _, title in columns)], rows)


def _ratios(cells: Sequence[Cell]) -> str:
    rows = []
    for ours, theirs in PAIRS:
        for scenario in SCENARIOS:
            for figure, unit in FIGURES[scenario.name]:
                found = compared(scenario.name, ours, theirs, figure, cells)
                if found is not None:
                    better = "more" if unit == "jobs/s" else "less"
                    rows.append([f"{ours} : {theirs}", scenario.title, unit, better, found.times()])
    head = ["ours : theirs", "scenario", "figure", "better is", "ratio"]
    return _table("Ratios, paired by round", head, rows)


def _scale(cells: Sequence[Cell]) -> str:
    rows = [
        [name, _cell(plain("scale", name, "per_second", cells)), _times("scale", name, cells)]
        for name in ("empty", "history", "backlog")
    ]
    for name in ("first", "last"):
        rate = _cell(plain("in_a_row", name, "per_second", cells))
        rows.append([f"{name} of the drains in a row", rate, ""])
    last = compared("in_a_row", "last", "first", "per_second", cells)
    rows[-1][-1] = last.times() if last else "–"
    return _table("Scale, Workhorse alone, FULL", ["store", "drain jobs/s", "by the first"], rows)


def _times(scenario: str, name: str, cells: Sequence[Cell]) -> str:
    found = compared(scenario, name, "empty", "per_second", cells)
    return found.times() if found else "–"


def _cell(found: Spread | None) -> str:
    return "–" if found is None else str(found)


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"## {title}\n", _line(head), _line(["---"] * len(head)), *map(_line, rows)]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
