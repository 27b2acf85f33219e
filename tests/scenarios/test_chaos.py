"""The short chaos: thousands of jobs among kills, freezes and deploys, in a minute or two."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.scenarios.chaos.nemesis import SERVER, schedule
from tests.scenarios.chaos.run import Plan, play


def a_seed() -> int:
    """SCENARIO_SEED plays a schedule again."""
    return int(os.environ.get("SCENARIO_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)


@pytest.mark.chaos
@pytest.mark.alone
@pytest.mark.timeout(400)
def test_nothing_is_lost_in_chaos(tmp_path: Path) -> None:
    """Whatever is killed, frozen or redeployed: no job lost or stuck, no stale write accepted.

    Every re-run has its fault.
    """
    report = play(Plan(a_seed()), tmp_path)
    print(report.as_text())
    assert report.ok, report.as_text()
    assert report.acknowledged >= 20_000
    assert report.faults_total >= 40
    assert report.stale_writes_rejected > 0


@pytest.mark.chaos
@pytest.mark.alone
@pytest.mark.needs("pg18")
@pytest.mark.timeout(400)
def test_nothing_is_lost_in_chaos_on_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same on PostgreSQL, which crashes too, and whose connections are ended.

    An attempt may start twice when the crash took its claim along; then too, one result counts.
    """
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    report = play(Plan(a_seed(), jobs=10_000, seconds=25.0, store="pg18"), tmp_path)
    print(report.as_text())
    assert report.ok, report.as_text()
    assert report.acknowledged >= 10_000
    assert report.faults_total >= 20
    assert all(report.faults[what] >= 2 for what in SERVER)
    assert report.stale_writes_rejected > 0


@pytest.mark.parametrize("server", [False, True])
def test_a_seed_gives_its_schedule_again(server: bool) -> None:
    """The same seed plays the same faults at the same times, another seed others."""
    faults = list(schedule(7, 100, server=server))
    assert faults == list(schedule(7, 100, server=server)) == sorted(faults)
    assert faults != list(schedule(8, 100, server=server))
    assert {fault.what for fault in faults}.issuperset(SERVER) == server
