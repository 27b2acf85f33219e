"""What has ended in a child, until it is written down."""

from __future__ import annotations

from structlog.testing import capture_logs

from tests.domain.build import a_job
from workhorse.domain.outcome import Completed
from workhorse.domain.transitions import settle
from workhorse.engine.clock import now
from workhorse.engine.ended import HELD_UP, KEPT, Ended
from workhorse.store.protocol import TURN_BYTES, Settled, Turn


def some_ended(*results: str) -> Ended:
    """Return attempts numbered from 1 that ended with these results, in JSON."""
    ended = Ended()
    for id, result in enumerate(results, start=1):
        job = a_job()._replace(id=id)
        ended.add(job, settle(job, Completed(result)))
    return ended


def ids(settled: list[Settled]) -> list[int]:
    return [one.id for one in settled]


def keeping(*keys: tuple[int, int]) -> Turn:
    """Return the answer to a turn that these were kept from."""
    return Turn(stale=[], claimed=[], lease_valid=True, held_up=keys)


def test_a_turn_takes_what_it_can_carry() -> None:
    """In the order they ended; a result larger than a turn goes by itself, and is not left."""
    half = "x" * (TURN_BYTES // 2)
    ended = some_ended("1", half, half, "4", half + half + "5", "6")
    assert [ids(ended.take()) for _ in range(5)] == [[1, 2], [3, 4], [5], [6], []]
    assert not ended


def test_what_could_not_be_written_goes_first_again() -> None:
    ended = some_ended("1", "2")
    taken = ended.take()
    late = a_job()._replace(id=3)
    ended.add(late, settle(late, Completed("3")))
    ended.put_back(taken)
    assert ids(ended.take()) == [1, 2, 3]


def test_what_is_held_up_is_handed_in_again_after_a_while() -> None:
    """Only that; until then it is neither forgotten nor in the way of the others."""
    ended = some_ended("1", "2", "3")
    taken = ended.take()
    ended.heed(keeping((2, 1)), taken, worker=1)
    at = now()
    assert not ended.hand_in_again(at)
    assert not ended.waiting
    assert ids(list(ended)) == [2]
    assert ended.hand_in_again(at + HELD_UP)
    assert ids(ended.take()) == [2]
    assert not ended.hand_in_again(at + HELD_UP)


def test_what_is_still_kept_at_a_later_try_is_told() -> None:
    """Not what was kept for a moment: transactions of the store's own do that to each other."""
    ended = some_ended("1", "2")
    with capture_logs() as told:
        ended.heed(keeping((1, 1), (2, 1)), ended.take(), worker=1)
        assert ended.hand_in_again(now() + HELD_UP)
        assert {line["log_level"] for line in told} == {"debug"}
        ended.heed(keeping((2, 1)), ended.take(), worker=1)
        assert ended.hand_in_again(now() + HELD_UP)
        ended.heed(keeping(), ended.take(), worker=1)
    warned = [line for line in told if line["log_level"] == "warning"]
    assert [(line["event"], line["job_id"]) for line in warned] == [(KEPT, 2)]
    assert not ended
