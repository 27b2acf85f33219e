"""When a dead child is replaced, what counts as a crash loop, and when to give up."""

from __future__ import annotations

import pytest

from workhorse.domain.errors import ConfigurationError
from workhorse.engine.restarts import LONGEST_WAIT, Restarts, Troubles


def test_young_deaths_back_off() -> None:
    """Each child in a row that dies young doubles the wait for the next, up to a limit."""
    restarts = Restarts(1.0, 300.0)
    waits = []
    for _ in range(8):
        restarts.back_off(1000.0, lived=0.5)
        waits.append(restarts.start_after - 1000.0)
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, LONGEST_WAIT, LONGEST_WAIT, LONGEST_WAIT]


def test_an_old_death_starts_anew() -> None:
    """A child that lived a while is replaced at once, and the next that dies young waits little."""
    restarts = Restarts(1.0, 300.0)
    for _ in range(5):
        restarts.back_off(1000.0, lived=0.5)
    restarts.back_off(2000.0, lived=60.0)
    assert restarts.start_after < 2000.0
    restarts.back_off(3000.0, lived=0.5)
    assert restarts.start_after == 3001.0


def test_deaths_are_counted_within_the_window() -> None:
    """Only the deaths of the last minutes make a crash loop."""
    restarts = Restarts(1.0, 300.0)
    assert restarts.lately(1000.0) == 0
    for at in (1000.0, 1100.0, 1200.0):
        restarts.died(at)
    assert restarts.lately(1200.0) == 3
    assert restarts.lately(1299.0) == 3
    assert restarts.lately(1300.0) == 2
    assert restarts.lately(9999.0) == 0


def trouble(text: str) -> ConfigurationError:
    return ConfigurationError(text)


def test_the_third_of_the_same_trouble_is_raised() -> None:
    """What comes three times in the same words will come a fourth time."""
    troubles = Troubles()
    assert [troubles.note(trouble("no module x")) for _ in range(2)] == [1, 2]
    with pytest.raises(ConfigurationError, match="no module x"):
        troubles.note(trouble("no module x"))


def test_other_troubles_and_a_good_start_begin_the_count_anew() -> None:
    """A trouble that changes, or goes away in between, may pass."""
    troubles = Troubles()
    assert [troubles.note(trouble(text)) for text in "aabaab"] == [1, 2, 1, 1, 2, 1]
    troubles.note(trouble("b"))
    troubles.clear()
    assert troubles.note(trouble("b")) == 1
