"""When a dead child is replaced, what counts as a crash loop, and when to give up."""

from __future__ import annotations

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


def test_the_wait_is_never_shorter_than_was_asked_for() -> None:
    """A delay above the limit of what it may grow to is kept as it is."""
    restarts = Restarts(120.0, 300.0)
    for _ in range(3):
        restarts.back_off(1000.0, lived=0.5)
        assert restarts.start_after == 1120.0


def test_a_child_that_outlives_the_wait_is_no_longer_young() -> None:
    """With a delay of minutes one of a minute is: else it would be replaced at once."""
    restarts = Restarts(120.0, 300.0)
    restarts.back_off(1000.0, lived=60.0)
    assert restarts.start_after == 1120.0
    restarts.back_off(2000.0, lived=121.0)
    assert restarts.start_after == 1120.0


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


def times(troubles: Troubles, text: str, *, started: float, at: float) -> int:
    troubles.note(trouble(text), started=started, at=at)
    return troubles.times


def test_three_troubles_in_a_row_will_not_pass_whatever_their_words() -> None:
    """The words may hold an address, a port or a time: they need not be the same."""
    troubles = Troubles()
    for number in range(3):
        assert not troubles.will_not_pass
        assert times(troubles, f"<Conn object at 0x{number}>", started=number, at=number + 0.5)
    assert troubles.times == 3
    assert troubles.will_not_pass


def test_a_child_that_can_begins_the_count_of_troubles_anew() -> None:
    """A trouble that goes away in between may pass."""
    troubles = Troubles()
    assert [times(troubles, "b", started=at, at=at + 0.5) for at in range(2)] == [1, 2]
    troubles.clear()
    assert times(troubles, "b", started=2.0, at=2.5) == 1


def test_children_that_fail_side_by_side_count_once() -> None:
    """A moment's trouble of eight children that start together is one trouble."""
    troubles = Troubles()
    assert [times(troubles, "b", started=1.0, at=2.0 + n / 10) for n in range(8)] == [1] * 8
    assert times(troubles, "b", started=3.0, at=3.5) == 2


def test_a_trouble_is_told_in_full_and_the_same_again_shortly() -> None:
    """On one line; of what was just told the last line alone, which is the cause."""
    troubles = Troubles()
    words = 'It cannot be imported.\n  File "app.py", line 1\nOSError: 7'
    in_full = 'It cannot be imported. File "app.py", line 1 OSError: 7'
    told = [troubles.note(trouble(words), started=at, at=at) for at in (1.0, 2.0)]
    assert told == [in_full, "OSError: 7"]
    troubles.note(trouble("another"), started=3.0, at=3.0)
    assert troubles.note(trouble(words), started=4.0, at=4.0) == in_full
