"""What a dead child leaves: its jobs, each settled by how its attempt ended."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from workhorse.domain.errors import Unavailable
from workhorse.domain.transitions import settle
from workhorse.engine.autopsy import Death, autopsy
from workhorse.engine.board import Slot
from workhorse.engine.ended import KEPT
from workhorse.explain import error_line
from workhorse.logs import log
from workhorse.store.protocol import Settled, first_due

if TYPE_CHECKING:
    from workhorse.engine.service import Service


class Remains(NamedTuple):
    """What is known of a dead child: how it ended, what ran in it, and when that was seen."""

    slots: Sequence[Slot]
    death: Death
    at: float


class Aftermath(NamedTuple):
    """What follows once its jobs are settled."""

    is_kept: bool = False
    """Whether another's transaction kept one of them: it is still to be settled."""
    solo: bool = False
    """Whether one of them is to run alone."""
    due: float | None = None
    """In how many seconds the first of those given back is due."""
    unswept: bool = False
    """Whether more jobs wait for those that have ended than were seen to."""


async def settle_remains(
    service: Service, child: int, remains: Remains, *, again: bool = False
) -> Aftermath:
    """Write down how the attempts of a dead child ended; `again`, when one was kept before.

    While the store is out of reach it is tried again; what is given up is left to be rescued.
    """
    lease, store = service.lease, service.store
    slots, death, at = remains
    try:
        held = await service.must(store.held, lease.worker, child)
        asked = await service.must(store.cancel_requests, lease.worker) if held else []
        ended = autopsy(held, slots, death, at, asked)
        if not ended:
            return Aftermath()
        settled = [
            Settled(job.id, job.attempt, settle(job, outcome, chance=random.random()))
            for job, outcome in ended
        ]
        turn = await service.must(store.turn, lease.worker, settled, [], None)
    except Unavailable as error:
        log.error("its jobs are left to be rescued", child=child, error=str(error))
        return Aftermath()
    stale, kept = set(turn.stale), set(turn.held_up)
    started = {(slot.job_id, slot.attempt): slot.started for slot in slots}
    for (job, _), (_, _, change) in zip(ended, settled, strict=True):
        key = (job.id, job.attempt)
        about = log.bind(
            job_id=job.id,
            kind=job.kind,
            queue=job.queue,
            attempt=job.attempt,
            worker=lease.worker,
        )
        if key in kept:
            (about.warning if again else about.debug)(KEPT)
            continue
        if key in stale:
            about.warning("lease lost")
        about.warning(
            "job ended with its process",
            child=child,
            outcome=change.outcome.value,
            state=change.state.value,
            duration=round(at - started[key], 4) if key in started else None,
            error=change.error and error_line(change.error),
        )
    service.wake.ring()
    return Aftermath(
        is_kept=bool(kept),
        solo=any(one.change.solo for one in settled),
        due=first_due(settled),
        unswept=turn.unswept,
    )
