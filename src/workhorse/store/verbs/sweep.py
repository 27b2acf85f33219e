"""The sweep: what follows from a job's end, for those who were left waiting when it ended.

There may be too many of them for one transaction, one may have been kept by another's, or whoever
has ended the job was killed before what follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workhorse.domain.job import State
from workhorse.store.driver import Driver, Transaction
from workhorse.store.verbs import edges


class SweepVerbs:
    """Sweeping, over any driver."""

    _db: Driver[Transaction]

    def _unblock_after(self, tx: Any, succeeded: Sequence[int]) -> int:
        """unblock: blocked → available, for a portion of those who wait for none but these.

        Returns how many waits are over, in the dialect's transaction `tx`.
        """
        raise NotImplementedError

    def sweep(self) -> int:
        ((needed,),) = self._db.read("dependencies.need_sweep")
        if not needed:
            return 0

        def work(tx: Transaction) -> int:
            unseen = dict(tx.run("dependencies.unseen", limit=edges.PORTION).fetchall())
            good = [id for id, state in unseen.items() if state == State.SUCCEEDED]
            bad = {
                id: state or "is gone" for id, state in unseen.items() if state != State.SUCCEEDED
            }
            over = self._unblock_after(tx, good) if good else 0
            cancelled, _ = edges.cancel_dependents(tx, bad)
            # All that are blocked are looked through for it: not beside each portion.
            return over + cancelled or edges.unblock_ready(tx)

        return self._db.write(work)
