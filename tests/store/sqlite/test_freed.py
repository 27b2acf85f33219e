"""A turn says when it has left jobs to others: nobody else would tell them."""

from __future__ import annotations

import pytest

from tests.store.hands import OK, Worker, put, settled
from workhorse.domain.outcome import AttemptOutcome, Released, Snoozed
from workhorse.store.protocol import Store


@pytest.mark.parametrize("claims", [False, True])
def test_who_is_let_go_is_free_unless_claimed_at_once(store: Store, claims: bool) -> None:
    """The last of those it waited for lets a job go; the same turn may claim it."""
    first, second = put(store), put(store)
    put(store, after=[first, second])
    worker = Worker(store)
    for frees in (False, True):
        ended = settled(worker.claim(1)[0], OK)
        wish = worker.request(10) if claims and frees else None
        turn = store.turn(worker.id, [ended], [], wish)
        assert turn.freed is (frees and not claims)
        assert len(turn.claimed) == (frees and claims)


@pytest.mark.parametrize(
    ("ends", "frees"), [(Released("drained"), True), (Snoozed(60), False), (OK, False)]
)
def test_who_is_given_back_is_free(store: Store, ends: AttemptOutcome, frees: bool) -> None:
    """One that may run again at once; not one that is due later, nor one that has ended."""
    put(store)
    worker = Worker(store)
    assert store.turn(worker.id, [settled(worker.take(), ends)], [], None).freed is frees
