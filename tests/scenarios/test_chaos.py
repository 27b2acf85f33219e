"""The short chaos: twenty thousand jobs among kills, freezes and deploys, in about two minutes."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.scenarios.chaos.nemesis import schedule
from tests.scenarios.chaos.run import Plan, play


@pytest.mark.chaos
@pytest.mark.alone
@pytest.mark.timeout(400)
def test_nothing_is_lost_in_chaos(tmp_path: Path) -> None:
    """Whatever is killed, frozen or redeployed: no job lost or stuck, no stale write accepted.

    Every re-run has its fault. SCENARIO_SEED plays a schedule again.
    """
    seed = int(os.environ.get("SCENARIO_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
    report = play(Plan(seed=seed), tmp_path)
    print(report.as_text())
    assert report.ok, report.as_text()
    assert report.acknowledged >= 20_000
    assert report.faults_total >= 40
    assert report.stale_writes_rejected > 0


def test_a_seed_gives_its_schedule_again() -> None:
    """The same seed plays the same faults at the same times, another seed others."""
    assert list(schedule(7, 100)) == list(schedule(7, 100))
    assert list(schedule(7, 100)) != list(schedule(8, 100))
