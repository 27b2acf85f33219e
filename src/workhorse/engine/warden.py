"""The warden: a small process that ends a worker's tree when its supervisor cannot.

It runs no user code and imports nothing of Workhorse but `proctree`. It holds a duplicate of
the worker's locked file, and watches two things: the supervisor's life (its end of a pipe) and
the instant at which the worker's lease ends, in a page the supervisor moves on with each
renewal. When the supervisor is dead, or frozen past that instant, the warden kills every
process that carries the worker's mark, then exits: the lock is free only when all are gone.

Run as ``python -m workhorse.engine.warden LEASE_FD PIPE_FD LOCK_FD SUPERVISOR_PID TREE``.
"""

from __future__ import annotations

import mmap
import os
import select
import signal
import struct
import sys
import time
from typing import Final

from workhorse.engine.clock import now
from workhorse.engine.proctree import TREE_MARK, kill_marked

LEASE_PAGE: Final = struct.Struct("<d")


def main(arguments: list[str]) -> int:
    """Watch until the supervisor closes the pipe (its death, or a clean stop)."""
    lease_fd, pipe_fd, _lock_fd, supervisor = (int(a) for a in arguments[:4])
    tree = arguments[4]
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    page = mmap.mmap(lease_fd, LEASE_PAGE.size)
    while True:
        left = LEASE_PAGE.unpack_from(page, 0)[0] - now()
        ready, _, _ = select.select([pipe_fd], [], [], min(max(left, 0.02), 1.0))
        if ready:
            clean = os.read(pipe_fd, 1) == b"."
            if not clean:
                kill_marked(TREE_MARK, tree, spare=[supervisor])
            return 0
        if left <= 0:
            kill_marked(TREE_MARK, tree, spare=[supervisor])
            time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
