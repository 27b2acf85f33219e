"""How the processes of a worker are started."""

from __future__ import annotations

import sys


def command(module: str, *words: object) -> list[str]:
    """Return what runs a module of ours as a program.

    The standard modules it imports are Python's own, whatever files lie in the current folder;
    the app is imported after them.
    """
    return [sys.executable, "-P", "-m", f"workhorse.engine.{module}", *map(str, words)]
