"""How a command ends whose app has started threads: soon, whatever they do."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import Final

from workhorse.screen import clean

PATIENCE: Final = 2.0
"""Seconds that threads of the app have to end once the command has: its answer is out by then."""


def end_soon(code: int) -> None:
    """Have this process end with `code`, also when a thread that is no daemon never does.

    The interpreter waits for those. Where none is left at the end of the patience, it goes on.
    """
    if _lingering():
        threading.Thread(target=_insist, args=(code,), daemon=True).start()


def _insist(code: int) -> None:
    time.sleep(PATIENCE)
    if left := _lingering():
        names = clean(", ".join(left))
        print(f"A thread of the app does not end, and is left: {names}.", file=sys.stderr)
        sys.stderr.flush()
        os._exit(code)


def _lingering() -> list[str]:
    """Return the names of the threads that the interpreter waits for."""
    main = threading.main_thread()
    return [one.name for one in threading.enumerate() if one is not main and not one.daemon]
