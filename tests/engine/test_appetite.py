"""How many jobs a child claims, by the rate at which they lately ended."""

from __future__ import annotations

import pytest

from tests.domain.build import a_job
from workhorse.domain.job import Claimed
from workhorse.engine.appetite import AHEAD, BATCH, FLOOD, RATE_WINDOW, TURNOVER, Appetite
from workhorse.store.protocol import TURN_BYTES

SLOTS = 10
A_FEW = TURNOVER * SLOTS
A_WINDOW = 1.5 * RATE_WINDOW


def appetite(*, overlaps: bool = False, solo: bool = False) -> Appetite:
    return Appetite(1 if solo else SLOTS, 0.0, solo=solo, overlaps=overlaps)


@pytest.mark.parametrize(("room", "limit"), [(SLOTS, SLOTS), (3, 3), (0, 0), (-2, 0)])
def test_a_child_claims_what_it_has_room_for(room: int, limit: int) -> None:
    """Never more than could start at once, as long as nothing is known of the jobs."""
    assert appetite().limit(room) == limit


def test_a_flood_is_claimed_ahead() -> None:
    """Where slots are free again and again in a moment, the next jobs are wanted before that."""
    hungry = appetite()
    hungry.judge(0.1, 500)
    assert hungry.ahead == 500 * AHEAD / 0.1
    assert hungry.limit(0) == hungry.ahead
    assert hungry.limit(-hungry.ahead) == 0, "they are at hand already"


def test_slow_jobs_are_never_claimed_ahead() -> None:
    """Slots that were each freed twice or less in the window say nothing of what comes."""
    patient = appetite()
    for turn in range(1, 50):
        patient.judge(turn * A_WINDOW, turn * A_FEW)
        assert patient.ahead == 0


def test_a_suspect_is_claimed_alone_however_fast_they_end() -> None:
    alone = appetite(solo=True)
    alone.judge(0.1, 5000)
    assert alone.limit(1) == 1


def test_a_flood_that_ends_is_forgotten_little_by_little() -> None:
    """Few may have ended for want of jobs: a quarter less is claimed ahead at each look."""
    hungry = appetite()
    hungry.judge(0.1, 500)
    seen = [hungry.ahead]
    for look in range(1, 30):
        hungry.judge(0.1 + look * A_WINDOW, 500)
        seen.append(hungry.ahead)
    assert seen[:3] == [500, 375, 281]
    assert seen[-1] == 0


def test_a_turn_is_not_judged_by_a_moment() -> None:
    """Within the window, and with few ended, what was known stands."""
    hungry = appetite()
    hungry.judge(0.1, 500)
    hungry.judge(0.1 + RATE_WINDOW / 2, 500 + A_FEW)
    assert hungry.ahead == 500


@pytest.mark.parametrize(
    ("overlaps", "last", "most"),
    [
        (False, a_job(), BATCH),
        (True, a_job(), 2 * BATCH),
        (True, a_job()._replace(priority=-10), BATCH),
        (True, a_job()._replace(queue="late"), BATCH),
    ],
    ids=["one thing at a time", "side by side", "what follows is less urgent", "another queue"],
)
def test_no_more_is_claimed_ahead_than_is_sure_to_run_next(
    overlaps: bool, last: Claimed, most: int
) -> None:
    """Two turns' jobs where claiming goes on beside the rest, while a flood is of one sort."""
    hungry = appetite(overlaps=overlaps)
    hungry.learn([a_job(), last])
    hungry.judge(0.1, 1_000_000)
    assert hungry.ahead == most
    assert hungry.limit(SLOTS) == BATCH, "but never more in one turn"


def test_large_arguments_are_claimed_by_a_few() -> None:
    """What a turn carries is bounded; there is always one."""
    hungry = appetite()
    hungry.judge(0.1, 5000)
    hungry.learn([a_job()._replace(args="x" * (TURN_BYTES // 50))])
    assert hungry.limit(SLOTS) == 50
    hungry.learn([a_job()._replace(args="ж" * (TURN_BYTES // 100))])
    assert hungry.limit(SLOTS) == 50
    hungry.learn([a_job()._replace(args="x" * 2 * TURN_BYTES)])
    assert hungry.limit(SLOTS) == 1


def test_a_claim_beside_a_flush_is_for_hundreds() -> None:
    """It waits until that many of those ahead have gone, or half of a small flood's."""
    hungry = appetite(overlaps=True)
    hungry.ahead = BATCH
    assert hungry.has_plenty(BATCH - FLOOD + 1)
    assert not hungry.has_plenty(BATCH - FLOOD)
    hungry.ahead = FLOOD
    assert hungry.has_plenty(FLOOD // 2 + 1)
    assert not hungry.has_plenty(FLOOD // 2)
