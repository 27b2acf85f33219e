"""The command: ``python -m tests.scenarios.chaos --seconds N --jobs N --seed S --store NAME``."""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
from pathlib import Path

from tests.scenarios.chaos.run import Plan, play
from tests.scenarios.stores import KINDS

JOBS_A_SECOND = 20_000 / 70
STORES = [name for name, kind in KINDS.items() if not kind.pooled]
"""A pooler has outages of its own, which no fault explains."""
POSTGRES = "pg18"
"""The one that is there without being installed."""


def main(arguments: list[str]) -> int:
    """Play one run and print its report; return 1 when a rule was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.scenarios.chaos", description=__doc__)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--seconds", type=float, default=70.0, help="how long faults go on")
    length.add_argument("--minutes", type=float, help="the same in minutes")
    parser.add_argument("--jobs", type=int, help="how many jobs (default: as the time allows)")
    parser.add_argument("--seed", type=int, help="play this schedule again")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--lease", type=float, default=3.0)
    parser.add_argument("--renew", type=float, default=0.5)
    parser.add_argument("--store", choices=["postgres", *STORES], default="sqlite")
    parser.add_argument("--json", type=Path, help="write the whole report here")
    parser.add_argument("--folder", type=Path, help="keep everything here (default: a new one)")
    given = parser.parse_args(arguments)
    seconds = given.minutes * 60 if given.minutes else given.seconds
    plan = Plan(
        seed=given.seed if given.seed is not None else random.SystemRandom().randrange(1, 10**6),
        jobs=given.jobs or round(seconds * JOBS_A_SECOND),
        seconds=seconds,
        workers=given.workers,
        processes=given.processes,
        lease=given.lease,
        renew=given.renew,
        store=POSTGRES if given.store == "postgres" else given.store,
    )
    folder = given.folder or Path(tempfile.mkdtemp(prefix="workhorse-chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["XDG_RUNTIME_DIR"] = str(folder)
    print(
        f"chaos: {plan.store}, seed {plan.seed}, {plan.jobs} jobs, {seconds:g} s of faults",
        flush=True,
    )
    report = play(plan, folder)
    print(report.as_json() if given.json is None else "", end="\n")
    if given.json is not None:
        given.json.write_text(report.as_json())
    print(report.as_text())
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
