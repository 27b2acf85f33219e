"""``python -m bench``: measure, print, write down, and with ``--gate`` judge."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from bench import machine, servers
from bench.floors import judge
from bench.measure import ROOT, Stuck
from bench.peers import PEERS, SCALED, SNAPSHOTTED
from bench.peers.protocol import Peer
from bench.report import RESULTS, Run, save
from bench.rounds import Cell, rounds
from bench.scale import in_a_row, scale
from bench.scenarios import FULL, QUICK, SCENARIOS, Size
from bench.snapshot import snapshot

ALONE: Final = {"scale": scale, "in_a_row": in_a_row}
NAMES: Final = [*(scenario.name for scenario in SCENARIOS), *ALONE, "snapshot"]

STORES: Final = list(dict.fromkeys(peer.store for peer in PEERS.values()))


def main() -> int:
    """Run the bench; return 1 when it ends early, or when ``--gate`` finds something short."""
    options = arguments()
    start = time.monotonic()
    options.dir.mkdir(parents=True, exist_ok=True)
    servers.keep_in(options.dir)
    asked = asked_for(options)
    left_out = {peer.name: why for peer in asked if (why := peer.missing())}
    for name, why in left_out.items():
        print(f"{name} is LEFT OUT: {why}.", file=sys.stderr)
    peers = [peer for peer in asked if peer.name not in left_out]
    facts = machine.facts(options.dir, peers) | {
        "command": shlex.join(sys.orig_argv[1:]),
        "left_out": left_out,
        "stores": list(dict.fromkeys(peer.store for peer in asked)),
    }
    if machine.in_memory(facts):
        print(f"{options.dir} lies in memory, where durability is free. Give another --dir.")
        return 1
    run = Run(facts, size(options), peers, [])
    whole = False
    for number in (signal.SIGINT, signal.SIGTERM):  # the workers it runs are ended either way
        signal.signal(number, signal.default_int_handler)
    try:
        for cell in measured(run, options):
            run.cells.append(cell)
        whole = True
    except (Stuck, KeyboardInterrupt) as error:
        print("\n".join([f"Gave up: {error}", *getattr(error, "__notes__", ())]), file=sys.stderr)
    page = save(run, RESULTS, options.name or time.strftime("%Y%m%d-%H%M%S", time.gmtime()))
    print(f"\n{page.read_text()}\n{page} ({time.monotonic() - start:.0f} s)")
    short = judge(run.cells, facts["stores"])[1]
    if options.gate and short:
        print(f"Short: {'; '.join(short)}.", file=sys.stderr)
    return 0 if whole and not (options.gate and short) else 1


def measured(run: Run, options: argparse.Namespace) -> Iterator[Cell]:
    """Measure what was asked for."""
    scenarios = [scenario for scenario in SCENARIOS if scenario.name in options.only]
    yield from rounds(scenarios, run.peers, run.size, options.dir)
    growing = [SCALED[peer.name] for peer in run.peers if peer.name in SCALED]
    for name, measure in ALONE.items():
        if name in options.only:
            yield from measure(growing, run.size, options.dir)
    if "snapshot" in options.only:
        peers = [SNAPSHOTTED[peer.name] for peer in run.peers if peer.name in SNAPSHOTTED]
        yield from snapshot(peers, run.size, options.dir)


def asked_for(options: argparse.Namespace) -> list[Peer]:
    """Return the peers named, or all that are on the stores named."""
    if options.peers:
        return [PEERS[name] for name in options.peers]
    return [peer for peer in PEERS.values() if peer.store in options.stores]


def size(options: argparse.Namespace) -> Size:
    """Return how much to measure."""
    chosen = replace(QUICK if options.quick else FULL, calm=options.calm)
    return replace(chosen, rounds=options.rounds) if options.rounds else chosen


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one small round, in 1-2 minutes")
    parser.add_argument("--gate", action="store_true", help="exit 1 when a floor is missed")
    parser.add_argument("--rounds", type=int, help="how often everything is measured")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--stores", nargs="+", choices=STORES, default=STORES)
    parser.add_argument("--peers", nargs="+", choices=list(PEERS), help="instead of --stores")
    parser.add_argument("--dir", type=Path, default=ROOT / ".workhorse" / "bench")
    parser.add_argument(
        "--calm",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="on a shared machine: wait so long for a quiet moment, measure again when disturbed",
    )
    parser.add_argument("--name", help="of the files in bench/results; default: the time")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
