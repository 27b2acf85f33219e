"""The page that a child and its supervisor share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from workhorse.engine.board import NEVER, Board, Mark, Slot
from workhorse.engine.clock import now


@pytest.fixture
def boards() -> Iterator[tuple[Board, Board]]:
    """One page, as its child and as its supervisor see it."""
    child = Board.create(3)
    supervisor = Board(os.dup(child.fd), 3)
    yield child, supervisor
    child.close()
    supervisor.close()


def test_an_empty_board_shows_nothing(boards: tuple[Board, Board]) -> None:
    """Before the first turn nothing runs, and the loop has not turned."""
    _, supervisor = boards
    assert supervisor.running() == []
    assert supervisor.turned_at == 0.0


def test_what_runs_is_seen_from_outside(boards: tuple[Board, Board]) -> None:
    """A started attempt is seen with start and deadline, until it is over; its neighbours stay."""
    child, supervisor = boards
    before = now()
    child.put(0, 7, 2, 99.5)
    child.put(2, 2**62, 2**31 - 1, NEVER, Mark.APART)
    first, second = supervisor.running()
    assert first == Slot(7, 2, Mark.NONE, 99.5, first.started)
    assert second == Slot(2**62, 2**31 - 1, Mark.APART, NEVER, second.started)
    assert before <= first.started <= second.started <= now()
    child.set_deadline(0, 100.5)
    assert supervisor.running() == [first._replace(deadline=100.5), second]
    child.clear(0)
    assert [slot.job_id for slot in supervisor.running()] == [2**62]


def test_marks_are_added(boards: tuple[Board, Board]) -> None:
    """A mark is added to those an attempt has, and goes with it."""
    child, supervisor = boards
    child.put(1, 7, 1, 5.0, Mark.APART)
    child.mark(1, Mark.CANCELLED)
    started = supervisor.running()[0].started
    child.mark(1, Mark.RELEASED)
    assert supervisor.running() == [
        Slot(7, 1, Mark.APART | Mark.CANCELLED | Mark.RELEASED, 5.0, started)
    ]
    child.put(1, 8, 1, 5.0)
    assert supervisor.running()[0].mark == Mark.NONE


def test_a_turn_of_the_loop_is_seen(boards: tuple[Board, Board]) -> None:
    """The supervisor sees when the loop last turned, whatever else is on the page."""
    child, supervisor = boards
    child.put(0, 7, 1, 1.0)
    child.turned(12345.25)
    assert supervisor.turned_at == 12345.25
    assert len(supervisor.running()) == 1
