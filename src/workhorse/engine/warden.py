"""The warden: a small process that ends a worker's tree when its supervisor cannot.

It runs no user code and opens no store. It holds a duplicate of the worker's locked file, and
watches two things: the supervisor's life (its end of a pipe) and the instant at which the
worker's lease ends, in a page the supervisor moves on with each renewal. When the supervisor is
dead, or frozen past that instant, the warden kills every process of the worker, then exits: the
lock is free only when all are gone.

Run as ``python -m workhorse.engine.warden LEASE_FD PIPE_FD LOCK_FD SUPERVISOR_PID TREE``.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time

from workhorse.engine.clock import now
from workhorse.engine.lease_page import LeasePage
from workhorse.engine.proctree import TREE_MARK, Family, kill_family


def main(arguments: list[str]) -> int:
    """Watch until the supervisor closes the pipe (its death, or a clean stop)."""
    lease_fd, pipe_fd, _lock_fd, supervisor = (int(a) for a in arguments[:4])
    mark = f"{TREE_MARK}={arguments[4]}"
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    page = LeasePage(lease_fd)

    def end_all() -> None:
        while True:
            try:
                kill_family(Family(mark, page.children), spare=[supervisor])
            except OSError:  # nothing to look with, for a moment; the lock is held meanwhile
                time.sleep(0.05)
            else:
                return

    while True:
        left = page.live_until - now()
        ready, _, _ = select.select([pipe_fd], [], [], min(max(left, 0.02), 1.0))
        if ready:
            if os.read(pipe_fd, 1) != b".":
                end_all()
            return 0
        if left <= 0:
            end_all()
            time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
