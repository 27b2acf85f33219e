"""The push on one host: rings that arrive, rings that are lost, sockets of the dead."""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from threading import Barrier

import pytest

from tests.engine.rung import is_rung
from tests.scenarios.procs import nothing_left_open
from workhorse.engine.wake import Sleeper, Wake, sweep_sockets


@pytest.fixture
def wake(tmp_path: Path) -> Iterator[Wake]:
    wake = Wake(tmp_path)
    yield wake
    wake.close()


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[Callable[[str], Sleeper]]:
    """Return a function that puts somebody to sleep."""
    with ExitStack() as stack:

        def make(name: str) -> Sleeper:
            sleeper = Sleeper(tmp_path, name)
            stack.callback(sleeper.close)
            return sleeper

        yield make


def test_a_ring_wakes_everybody(wake: Wake, sleeper: Callable[[str], Sleeper]) -> None:
    """Each sleeper hears it; one who comes or goes later is noticed."""
    first, second = sleeper("1"), sleeper("2")
    wake.ring()
    assert is_rung(first)
    assert is_rung(second)
    assert not is_rung(first)
    third = sleeper("3")
    second.close()
    wake.ring()
    assert is_rung(first)
    assert is_rung(third)


def stamp(folder: Path, at: int) -> None:
    """Give a folder the stamp of that instant (ns), as a filesystem may that tells few apart."""
    os.utime(folder, ns=(at, at))


def test_one_who_comes_in_the_same_tick_is_rung(
    tmp_path: Path, wake: Wake, sleeper: Callable[[str], Sleeper]
) -> None:
    """A filesystem may give two changes in a row one stamp: the second is noticed all the same."""
    first = sleeper("1")
    tick = tmp_path.stat().st_mtime_ns
    wake.ring()
    second = sleeper("2")
    stamp(tmp_path, tick)
    wake.ring()
    assert is_rung(first)
    assert is_rung(second)


def test_a_folder_at_rest_is_not_read_again(
    tmp_path: Path,
    wake: Wake,
    sleeper: Callable[[str], Sleeper],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where nobody has come or gone for a while, a ring costs no more than the rings."""
    asleep = sleeper("1")
    stamp(tmp_path, tmp_path.stat().st_mtime_ns - 3_000_000_000)
    wake.ring()
    assert is_rung(asleep)
    monkeypatch.delattr(os, "listdir")
    wake.ring()
    assert is_rung(asleep)


def test_many_rings_are_one_look(wake: Wake, sleeper: Callable[[str], Sleeper]) -> None:
    """A ring to somebody whose socket is full is lost, and blocks nobody."""
    asleep = sleeper("deep")
    for _ in range(5000):
        wake.ring()
    assert is_rung(asleep)
    assert not is_rung(asleep)


def test_a_ring_never_fails(tmp_path: Path) -> None:
    """Without a folder, with a folder that is gone, with nobody there, it just does nothing."""
    Wake(None).ring()
    for folder in (tmp_path, tmp_path / "gone"):
        wake = Wake(folder)
        wake.ring()
        wake.close()
        wake.close()


def test_a_ring_that_finds_no_free_descriptor_keeps_none(
    wake: Wake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the limit of open files a ring is lost; it does not make matters worse."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr("workhorse.engine.wake.socket.socket", refuse)
    wake.ring()
    with nothing_left_open():
        for _ in range(10):
            wake.ring()


def test_threads_may_ring_and_close_at_once(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Each of them may be the first, or another's last: nothing stays open."""
    request.addfinalizer(partial(sys.setswitchinterval, sys.getswitchinterval()))
    sys.setswitchinterval(1e-6)
    with nothing_left_open(), ThreadPoolExecutor(8) as pool:
        for _ in range(100):
            wake, together = Wake(tmp_path), Barrier(8)

            def ring(wake: Wake = wake, together: Barrier = together) -> None:
                together.wait()
                wake.ring()
                wake.close()
                wake.ring()

            for rung in [pool.submit(ring) for _ in range(8)]:
                rung.result()
            wake.close()


def test_a_closed_wake_can_ring_again(wake: Wake, sleeper: Callable[[str], Sleeper]) -> None:
    """Closing lets go of the folder; the next ring opens it."""
    asleep = sleeper("1")
    wake.ring()
    wake.close()
    is_rung(asleep)
    wake.ring()
    assert is_rung(asleep)


def test_a_folder_too_deep_for_a_socket_is_none_for_us(tmp_path: Path) -> None:
    """A socket's path has room for 108 bytes; a store's folder may be deeper."""
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    asleep, wake = Sleeper(deep, "1"), Wake(deep)
    wake.ring()
    assert is_rung(asleep)
    asleep.close()
    wake.close()


def test_sockets_of_the_dead_are_swept(
    tmp_path: Path, wake: Wake, sleeper: Callable[[str], Sleeper]
) -> None:
    """What a killed process left bound to nothing is removed; the living are left alone."""
    alive = sleeper("alive")
    dead = tmp_path / "wake-dead.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as left:
        left.bind(str(dead))
    other = tmp_path / "worker-1.lock"
    other.touch()
    wake.ring()
    sweep_sockets(tmp_path)
    assert not dead.exists()
    assert other.exists()
    wake.ring()
    assert is_rung(alive)


def test_a_name_is_taken_over_from_the_dead(tmp_path: Path, wake: Wake) -> None:
    """A sleeper whose name a dead one still holds binds it all the same."""
    dead = Sleeper(tmp_path, "1")
    dead.socket.close()
    asleep = Sleeper(tmp_path, "1")
    wake.ring()
    assert is_rung(asleep)
    asleep.close()
