"""What the measuring jobs do, for every peer: write down when they ran, and in which process.

CLOCK_MONOTONIC is the same clock for every process of the machine, so the difference of two
processes' readings is a duration.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TextIO

_open: dict[str, TextIO] = {}


def mark(path: str) -> None:
    """Write the moment, the process and its CPU time so far to `path`, all at once."""
    facts = {"at": time.monotonic_ns(), "pid": os.getpid(), "cpu": time.process_time_ns()}
    part = Path(f"{path}.part")
    part.write_text(json.dumps(facts))
    part.rename(path)


def stamp(path: str, sent: int) -> None:
    """Append how long ago `sent` (CLOCK_MONOTONIC, ns) was to `path`."""
    age = time.monotonic_ns() - sent
    file = _open.get(path)
    if file is None:
        file = _open[path] = Path(path).open("a", buffering=1)  # noqa: SIM115 - for life
    file.write(f"{age}\n")
