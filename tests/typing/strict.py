"""`mypy --strict`, as a user runs it on the installed package."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

COMMAND = (sys.executable, "-m", "mypy", "--strict", "--config-file=", "--no-pretty")


def mypy_strict(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Type-check what is in `folder`, and return what mypy says."""
    program = [*COMMAND, *arguments]
    return subprocess.run(program, cwd=folder, capture_output=True, text=True, check=False)
