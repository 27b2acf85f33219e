"""Whether somebody who sleeps beside a store was rung."""

from __future__ import annotations

import select

from workhorse.engine.wake import Sleeper


def is_rung(sleeper: Sleeper) -> bool:
    """Whether the sleeper was rung; its rings are read away."""
    ready = bool(select.select([sleeper.socket], [], [], 0)[0])
    rung: list[bool] = []
    sleeper.drain(lambda: rung.append(True))
    assert rung == [True]
    return ready
