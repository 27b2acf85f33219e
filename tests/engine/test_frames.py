"""Messages between the processes of a worker, over a real socket."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator, Sequence

import pytest

from workhorse.engine.frames import AsyncFrames, BlockingFrames


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    yield ours, theirs
    ours.close()
    theirs.close()


Pair = tuple[socket.socket, socket.socket]


def test_messages_arrive_whole_and_in_order(pair: Pair) -> None:
    """From a blocking side to a loop and back, from nothing to a megabyte."""
    ours, theirs = pair
    messages = [{"n": n, "text": "ü" * size} for n, size in enumerate((0, 1, 100_000, 1_000_000))]

    def other_side() -> None:
        frames = BlockingFrames(theirs)
        while (message := frames.receive()) is not None:
            frames.send(message)
        theirs.close()

    async def this_side() -> Sequence[object]:
        frames = await AsyncFrames.over(ours)
        for message in messages:
            frames.send(message)
        back = [await frames.receive() for _ in messages]
        frames.close()
        return back

    thread = threading.Thread(target=other_side)
    thread.start()
    assert asyncio.run(this_side()) == messages
    thread.join(10)
    assert not thread.is_alive()


def test_threads_do_not_mix_their_messages(pair: Pair) -> None:
    """Handlers' threads send at once; each message stays one."""
    ours, theirs = pair
    frames = BlockingFrames(ours)

    def send(who: int) -> None:
        for n in range(50):
            frames.send({"who": who, "n": n, "text": str(who) * 5000})

    threads = [threading.Thread(target=send, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    other = BlockingFrames(theirs)
    heard = [other.receive() for _ in range(200)]
    for thread in threads:
        thread.join()
    for who in range(4):
        theirs_in_order = [m for m in heard if m is not None and m["who"] == who]
        assert [m["n"] for m in theirs_in_order] == list(range(50))
        assert all(m["text"] == str(who) * 5000 for m in theirs_in_order)


def test_hints_to_one_who_does_not_read_are_not_heaped_up(pair: Pair) -> None:
    """However many there were, it finds few when it reads; and again one for each it reads."""
    ours, theirs = pair

    async def play() -> int:
        frames = await AsyncFrames.over(ours)
        for n in range(50_000):
            frames.hint({"say": "wake", "n": n})
        frames.send({"say": "last"})
        other = BlockingFrames(theirs)
        heaped = 0
        while await asyncio.to_thread(other.receive) != {"say": "last"}:
            heaped += 1
        frames.hint({"say": "wake"})
        assert await asyncio.to_thread(other.receive) == {"say": "wake"}
        frames.close()
        return heaped

    assert 0 < asyncio.run(play()) < 5000


@pytest.mark.parametrize("told", [b"", b"\x05", b"\x05\0\0\0", b"\x05\0\0\0{}"])
def test_a_side_that_is_gone_is_no_message(pair: Pair, told: bytes) -> None:
    """A peer that dies, even in mid-sentence, is heard as None by both kinds."""
    ours, theirs = pair

    async def listen() -> object:
        frames = await AsyncFrames.over(ours)
        heard = await frames.receive()
        frames.send({"to": "nobody"})
        frames.close()
        return heard

    theirs.sendall(told)
    theirs.close()
    assert asyncio.run(listen()) is None


@pytest.mark.parametrize("told", [b"", b"\x05", b"\x05\0\0\0{}"])
def test_a_side_that_is_gone_is_no_message_to_a_blocking_side(pair: Pair, told: bytes) -> None:
    """The same without a loop."""
    ours, theirs = pair
    theirs.sendall(told)
    theirs.close()
    assert BlockingFrames(ours).receive() is None
