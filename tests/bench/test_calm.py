"""On a shared machine a figure is taken when others are quiet, and again when they were not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from bench import calm, rounds
from bench.rounds import ATTEMPTS, Cell, least_disturbed
from bench.scenarios import QUICK


def attempts(*foreign: float) -> Iterator[Cell]:
    return (Cell("drain", "ours", 0, {"per_second": 100 * busy}, busy) for busy in foreign)


@pytest.fixture(autouse=True)
def no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "wait_for_calm", lambda patience: patience > 0)


def test_a_figure_stands_when_nobody_disturbed_it() -> None:
    """The first calm measurement is the last."""
    found = attempts(0.9, 0.1, 0.0)
    assert least_disturbed(lambda: next(found), replace(QUICK, calm=1.0)).foreign_cores == 0.1
    assert next(found).foreign_cores == 0.0


def test_the_quietest_is_kept_whatever_it_found() -> None:
    """On a machine that never is calm, others' noise decides, not the figure."""
    found = attempts(0.9, 0.5, 0.7, 0.8)
    kept = least_disturbed(lambda: next(found), replace(QUICK, calm=1.0))
    assert kept.figures == {"per_second": 50.0}
    assert len(list(found)) == 4 - ATTEMPTS


def test_nothing_is_repeated_unasked() -> None:
    """Without `--calm` each figure is taken once."""
    found = attempts(0.9, 0.1)
    assert least_disturbed(lambda: next(found), QUICK).foreign_cores == 0.9


def test_waiting_for_calm_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the first quiet look; or, when there is none, when the patience is over."""
    looks = iter([0.8, 0.5, 0.05])
    monkeypatch.setattr(calm.Watch, "foreign_cores", lambda _: next(looks))
    assert calm.wait_for_calm(60.0, sleep=lambda _: None)
    assert not calm.wait_for_calm(0.0)
