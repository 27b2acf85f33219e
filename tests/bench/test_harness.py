"""The bench measures: one small round of Workhorse alone, with real processes."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from bench import machine
from bench import scale as grown
from bench.peers import PEERS, US
from bench.report import Run, save
from bench.rounds import rounds
from bench.scenarios import QUICK, SCENARIOS, Size

TINY: Size = replace(
    QUICK,
    one_by_one=20,
    bulk=1000,
    drain=200,
    latency_seconds=0.2,
    scale_rows=200,
)


@pytest.fixture(autouse=True)
def no_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole machine's dirty pages are not waited for: what is measured here counts nothing."""
    monkeypatch.setattr(os, "sync", lambda: None)


def test_a_small_round(workdir: Path) -> None:
    """Each of its scenarios gives its figures, and both files of results can be read back."""
    cells = list(rounds(SCENARIOS, [US], TINY, workdir))
    units = {scenario.name: scenario.units for scenario in SCENARIOS if scenario.is_for(US)}
    assert [cell.scenario for cell in cells] == list(units)
    for cell in cells:
        assert all(cell.figures[name] > 0 for name in units[cell.scenario]), cell

    facts = machine.facts(workdir, [US]) | {"command": "-m bench", "stores": ["sqlite"]}
    page = save(Run(facts, TINY, [US], cells), workdir / "results", "tiny")
    assert len(json.loads(page.with_suffix(".json").read_text())["cells"]) == len(cells)
    assert "| workhorse-full (FULL) |" in page.read_text()


def test_a_store_that_has_grown(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store with a past is built by running jobs, copied and drained; none is left behind."""
    monkeypatch.setattr(grown, "STORES", ("history",))
    (cell,) = grown.scale([US], TINY, workdir)
    assert cell.store == "history"
    assert cell.figures["per_second"] > 0
    assert not any(workdir.rglob("jobs.db"))


def test_a_peer_that_is_not_installed_says_so() -> None:
    """The harness starts without the peers' packages and tells what is missing."""
    assert US.missing() is None
    for peer in PEERS.values():
        assert (peer.missing() or "is not installed").count("is not installed") == 1
