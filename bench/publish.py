"""Make the page and the chart of the docs from a run: ``python -m bench.publish RESULT.json``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench.chart import Bar, Panel, chart
from bench.floors import plain
from bench.measure import ROOT
from bench.peers import PEERS
from bench.report import Run, render
from bench.rounds import OURS, Cell
from bench.scenarios import Size

PAGE: Final = ROOT / "docs" / "benchmarks.md"
CHART: Final = ROOT / "docs" / "benchmarks.svg"
PANELS: Final = (
    ("drain", "per_second", "postgres", "Jobs run per second, on PostgreSQL"),
    ("one_by_one", "per_second", "postgres", "Jobs enqueued per second, one call after the other"),
    ("bulk", "per_second", "postgres", "Jobs enqueued per second, in calls of 1,000"),
    ("latency", "p50", "postgres", "From enqueue to start, median, ms"),
    ("drain", "per_second", "sqlite", "Jobs run per second, on SQLite"),
    (
        "drain",
        "per_second",
        "redis",
        "For context: jobs run per second on Redis, which keeps nothing",
    ),
)
NOTES: Final = {
    "drain": "one worker process, jobs that do nothing",
    "one_by_one": "each durable when its call returns; more is better",
    "bulk": "each call durable when it returns; more is better",
    "latency": "an idle worker, a job every 20 ms; less is better",
}
DURABLE: Final = {
    "postgres": "fsync and synchronous_commit on",
    "sqlite": "synchronous as named",
    "redis": "nothing is written to the disk",
}


def load(path: Path) -> Run:
    """Return a run that was saved."""
    data = json.loads(path.read_text())
    peers = [PEERS[name] for name in data["facts"]["settings"]]
    return Run(data["facts"], Size(**data["size"]), peers, [Cell(**cell) for cell in data["cells"]])


def picture(run: Run) -> str:
    """Return the chart of a run."""
    facts = run.facts
    foot = f"{facts['cores']} × {facts['cpu']}, {facts['when']}; {run.size.rounds} rounds: "
    return chart(list(panels(run)), foot + "median, lowest to highest")


def panels(run: Run) -> Iterator[Panel]:
    for scenario, figure, store, title in PANELS:
        bars = [
            Bar(peer.name, found, peer.name.startswith(OURS))
            for peer in run.peers
            if peer.store == store
            if (found := plain(scenario, peer.name, figure, run.cells))
        ]
        if bars:
            note = f"{NOTES[scenario]}; {DURABLE[store]}"
            yield Panel(title, note, bars, least_is_best=figure == "p50")


def main(path: Path) -> None:
    run = load(path)
    CHART.write_text(picture(run))
    head, _, rest = render(run).partition("\n\n")
    drawn = f"![The bench's figures as bars]({CHART.name})"
    PAGE.write_text(f"{head.replace('# Bench', '# Benchmarks')}\n\n{drawn}\n\n{rest}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
