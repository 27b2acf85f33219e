"""The timetable of a stop: who is told when, and when patience ends."""

from __future__ import annotations

import asyncio

import pytest

from workhorse.engine.board import NEVER
from workhorse.engine.stopping import Stopping


@pytest.fixture
def stopping() -> Stopping:
    """Twenty-five seconds of grace, five of them for handlers that are told to end."""
    return Stopping(25.0, 5.0)


def test_nothing_is_due_before_it_is_told(stopping: Stopping) -> None:
    """A worker nobody told to stop abandons nothing, ever."""
    assert not stopping.is_asked
    assert (stopping.abandon_at, stopping.kill_at) == (NEVER, NEVER)
    assert not stopping.is_over(1e9)


def test_once_drains_within_the_grace(stopping: Stopping) -> None:
    """Handlers are told to end, and then killed, in time for the rest to be written down."""
    stopping.ask(100.0)
    assert stopping.is_asked
    assert (stopping.abandon_at, stopping.kill_at) == (115.0, 120.0)
    assert not stopping.is_over(124.9)
    assert stopping.is_over(125.0)


def test_a_short_grace_is_shared_out() -> None:
    """A grace shorter than what handlers may take is quartered."""
    stopping = Stopping(2.0, 5.0)
    stopping.ask(100.0)
    assert (stopping.abandon_at, stopping.kill_at) == (101.0, 101.5)
    assert stopping.is_over(102.0)


def test_twice_waits_no_longer(stopping: Stopping) -> None:
    """Told again, handlers are told to end now, and killed after what they may take for it."""
    stopping.ask(100.0)
    stopping.ask(101.0)
    assert (stopping.abandon_at, stopping.kill_at) == (101.0, 106.0)


def test_twice_late_gives_no_more_time(stopping: Stopping) -> None:
    """A second signal near the end of the grace does not lengthen it."""
    stopping.ask(100.0)
    stopping.ask(114.0)
    assert (stopping.abandon_at, stopping.kill_at) == (114.0, 119.0)
    stopping.ask(116.0)
    assert stopping.kill_at == 116.0


def test_a_third_time_kills(stopping: Stopping) -> None:
    """Told thrice, or once that it must be at once, handlers are killed."""
    for at in (100.0, 101.0, 102.0):
        stopping.ask(at)
    assert stopping.kill_at == 102.0
    at_once = Stopping(25.0, 5.0)
    at_once.at_once(100.0)
    assert (at_once.abandon_at, at_once.kill_at) == (100.0, 100.0)


def test_a_stop_of_its_own_accord_is_the_first(stopping: Stopping) -> None:
    """A worker that stops by itself and is then told to, waits no longer."""
    stopping.begin(100.0)
    stopping.begin(110.0)
    assert stopping.abandon_at == 115.0
    stopping.ask(111.0)
    assert stopping.abandon_at == 111.0


def test_a_nap_ends_when_told(stopping: Stopping) -> None:
    """Whoever naps or waits wakes at once; a nap that is not disturbed ends by itself."""

    async def play() -> None:
        await stopping.nap(0.01)
        assert not stopping.is_asked
        asyncio.get_running_loop().call_later(0.01, stopping.ask, 100.0)
        async with asyncio.timeout(10):
            await stopping.nap(3600)
            await stopping.wait()

    asyncio.run(play())
