"""``python -m bench``: measure, print, write down, and with ``--gate`` judge."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

from bench import machine, report
from bench.floors import judge
from bench.measure import ROOT, Stuck
from bench.peers import PEERS
from bench.rounds import Cell, rounds
from bench.scale import in_a_row, scale
from bench.scenarios import FULL, QUICK, SCENARIOS

ALONE = {"scale": scale, "in_a_row": in_a_row}


def main() -> int:
    """Run the bench; return 1 when ``--gate`` finds something short."""
    options = arguments()
    size = QUICK if options.quick else FULL
    if options.rounds:
        size = replace(size, rounds=options.rounds)
    folder: Path = options.dir
    folder.mkdir(parents=True, exist_ok=True)
    facts = machine.facts(folder)
    if machine.in_memory(facts):
        print(f"{folder} lies in memory: durability would cost nothing. Give another --dir.")
        return 1
    cells: list[Cell] = []
    start = time.monotonic()
    wanted = options.only or [*(s.name for s in SCENARIOS), *ALONE]
    scenarios = [
        replace(scenario, peers=[p for p in scenario.peers if p in (options.peers or PEERS)])
        for scenario in SCENARIOS
        if scenario.name in wanted
    ]
    try:
        cells += rounds([s for s in scenarios if s.peers], size, folder)
        for name, run in ALONE.items():
            if name in wanted:
                cells += run(size, folder)
    except Stuck as error:
        print(f"Gave up: {error}", file=sys.stderr)
        return 1
    name = options.name or time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    page = report.save(facts, size, cells, name)
    print(f"\n{page.read_text()}\n{page} ({time.monotonic() - start:.0f} s)")
    short = judge(cells)[1]
    if options.gate and short:
        print(f"Short: {'; '.join(short)}.", file=sys.stderr)
        return 1
    return 0


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one small round, 1-2 minutes")
    parser.add_argument("--gate", action="store_true", help="exit 1 when a floor is missed")
    parser.add_argument("--rounds", type=int, help="how often everything is measured")
    parser.add_argument("--only", nargs="+", choices=[*(s.name for s in SCENARIOS), *ALONE])
    parser.add_argument("--peers", nargs="+", choices=list(PEERS))
    parser.add_argument("--dir", type=Path, default=ROOT / ".workhorse" / "bench")
    parser.add_argument("--name", help="of the files in bench/results; default: the time")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
