"""The host's clock, which here never goes back."""

from __future__ import annotations

import time
from contextlib import closing

import pytest

from tests.store.hands import SettableClock, Worker, put, the
from workhorse.store.opening import open_store
from workhorse.store.protocol import Store
from workhorse.store.sqlite.clock import HostClock, clamped

HOUR = 3_600_000


class Host:
    """The two clocks of a host, in milliseconds, as a test has them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wall = 1_000 * HOUR
        self.elapsed = 5 * HOUR
        monkeypatch.setattr(time, "time_ns", lambda: self.wall * 1_000_000)
        monkeypatch.setattr(time, "clock_gettime_ns", lambda _: self.elapsed * 1_000_000)

    def passes(self, milliseconds: int) -> None:
        self.wall += milliseconds
        self.elapsed += milliseconds


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(monkeypatch)


def test_it_shows_the_wall_clock(host: Host) -> None:
    """As long as that goes on, forward steps included."""
    clock = HostClock()
    assert clock() == host.wall
    host.passes(10)
    assert clock() == host.wall
    host.wall += HOUR
    assert clock() == host.wall


@pytest.mark.parametrize("step", [1, 7, 500])
def test_set_back_it_goes_on_at_half_speed(host: Host, step: int) -> None:
    """However often it is asked, it neither stops nor returns."""
    clock = HostClock()
    high = clock()
    host.wall -= HOUR
    for turn in range(1, 2000):
        host.passes(step)
        assert clock() == high + turn * step // 2


def test_it_has_caught_up_after_two_hours_for_one(host: Host) -> None:
    """Half speed against full speed: an hour back is made good in two."""
    clock = HostClock()
    clock()
    host.wall -= HOUR
    for _ in range(1000):
        host.passes(2 * HOUR // 1000)
        clock()
    assert clock() == host.wall


def test_set_back_again_and_again(host: Host) -> None:
    """Whatever is done to the host's clock, ours never returns."""
    clock = HostClock()
    seen = []
    for step in (0, -50, 3, -HOUR, 1, 1, HOUR, -5, 0, -2 * HOUR, 40 * HOUR, -HOUR):
        host.wall += step
        for _ in range(20):
            host.passes(3)
            seen.append(clock())
    assert seen == sorted(seen)


def test_it_starts_where_the_store_has_been(host: Host) -> None:
    """An instant that the store has seen is the least it will show."""
    clock = HostClock()
    clock.not_before(host.wall + HOUR)
    assert clock() == host.wall + HOUR
    host.passes(1000)
    assert clock() == host.wall - 1000 + HOUR + 500
    clock.not_before(5)
    assert clock() == host.wall - 1000 + HOUR + 500


def test_a_store_never_goes_back_behind_its_record(url: str) -> None:
    """Opened on a host whose clock is behind, it goes on from the newest event."""
    ahead = SettableClock()
    ahead.now = time.time_ns() // 1_000_000 + HOUR
    with closing(open_store(url, clock=ahead)) as store:
        put(store)
    with closing(open_store(url)) as store:
        assert ahead.now <= the(store, put(store)).enqueued_at < ahead.now + HOUR


def test_a_given_clock_is_held_to_the_same() -> None:
    """A clock that a caller gives never goes back either."""
    given = iter([5, 3, 6, 6, 1])
    clock = clamped(lambda: next(given))
    assert [clock() for _ in range(5)] == [5, 5, 6, 6, 6]


def test_a_clock_that_is_set_back_is_not_followed(store: Store, clock: SettableClock) -> None:
    """What comes later is never earlier, and no lease grows by it."""
    put(store)
    worker = Worker(store, lease=30)
    high = clock.now
    clock.advance(-3600)
    job_id = put(store)
    assert the(store, job_id).enqueued_at == high
    assert [event.at for event in store.events()] == [high] * 3
    clock.advance(3600 + 30)
    assert store.expired_workers() == [worker.id]
