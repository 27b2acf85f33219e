"""A worker whose supervisor loses patience sooner: in seconds, where others take half a minute.

`WorkerProcess(within=HASTY)` is one. Its children are as ever.
"""

from __future__ import annotations

import runpy
import sys
from typing import Final

from workhorse.engine import supervisor
from workhorse.store.sqlite.gate import Gate

HASTY: Final = (sys.executable, "-m", __name__)
HUNG: Final = 4.0
"""Seconds until a child that does not answer is ended."""
TURN: Final = 2.0
"""Seconds that the supervisor waits for its turn to write."""

if __name__ == "__main__":
    supervisor.HUNG = HUNG  # type: ignore[misc]
    Gate.__init__.__kwdefaults__ = {"patience": TURN}
    sys.argv[:4] = ["workhorse"]  # what stood before its own words: this, Python, -m, workhorse
    runpy.run_module("workhorse", run_name="__main__", alter_sys=True)
