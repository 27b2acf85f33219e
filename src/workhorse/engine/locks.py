"""The file that a worker's whole process tree keeps locked: free, it proves that all are gone.

A module of its own, free of libraries: a health probe looks too.
"""

from __future__ import annotations

import fcntl
from pathlib import Path


def lock_path(run_dir: Path, worker: int) -> Path:
    """Return the file of `worker`."""
    return run_dir / f"worker-{worker}.lock"


def is_let_go(run_dir: Path, worker: int) -> bool:
    """Whether nobody holds the file of `worker` any more; where there is none, nothing is known."""
    try:
        with lock_path(run_dir, worker).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
