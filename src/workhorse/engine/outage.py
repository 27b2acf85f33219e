"""A store that is out of reach: how long to wait, and when to say so."""

from __future__ import annotations

import asyncio
import random
from typing import Final

from workhorse.domain.errors import Unavailable
from workhorse.domain.retry import OUTAGE
from workhorse.logs import log

TELL_EVERY: Final = 30
"""An outage is told of at first, and again after so many failures."""


class Outage:
    """The failures in a row of one who goes on trying."""

    def __init__(self) -> None:
        self._failures = 0

    async def wait(self, error: Unavailable) -> None:
        """Wait before the next try: the longer the more have failed."""
        if self._failures % TELL_EVERY == 0:
            log.error("the store is out of reach", error=str(error), failures=self._failures + 1)
        self._failures += 1
        await asyncio.sleep(OUTAGE.delay(self._failures, random.random()))

    def is_over(self) -> None:
        """One has succeeded."""
        self._failures = 0
