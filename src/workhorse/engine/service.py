"""What the children of a worker work for."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, ParamSpec, TypeVar

from workhorse.engine.offloop import OffLoop, until_available

if TYPE_CHECKING:
    from workhorse.engine.lease import Lease
    from workhorse.engine.wake import Wake
    from workhorse.store.protocol import Store

P = ParamSpec("P")
T = TypeVar("T")


class Service(NamedTuple):
    """One lease on one store."""

    lease: Lease
    store: Store
    calls: OffLoop
    wake: Wake
    give_up: Callable[[], bool]
    """Says when to wait no longer for a store that is out of reach."""

    async def must(self, verb: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a store verb that must happen: while the store is out of reach, try again.

        Raises `Unavailable` only when it is time to give up.
        """
        return await until_available(partial(self.calls.call, verb, *args, **kwargs), self.give_up)
