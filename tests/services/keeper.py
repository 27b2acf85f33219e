"""A program that runs one command for as long as the test that asked for it lives.

Standard input is the lifeline: it closes when the test's process is gone, however it went. Then the
command is told to end, is killed when it does not, and the folders it used are removed. The first
line on standard output is the command's pid; what the command says goes to standard error. Only the
standard library is needed, so that it starts in no time.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import pwd
import select
import shutil
import signal
import subprocess
import sys
from functools import partial
from typing import IO

GRACE = 5.0
"""Seconds an orphan has to end by itself."""
_PR_SET_PDEATHSIG = 1


def main() -> int:
    """Run the command, and return its exit code."""
    asked = arguments()
    user = asked.user and pwd.getpwnam(asked.user)
    process = subprocess.Popen(
        asked.command,
        user=user and user.pw_uid,
        group=user and user.pw_gid,
        extra_groups=user and [],
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        preexec_fn=partial(die_with, os.getpid()),  # noqa: PLW1509 - there is one thread here
    )
    print(process.pid, flush=True)
    with os.fdopen(os.pidfd_open(process.pid)) as end:
        if end not in first_of(end, sys.stdin):
            process.send_signal(asked.farewell)
            if not first_of(end, within=GRACE):
                process.kill()
            process.wait()
            for folder in asked.remove:
                shutil.rmtree(folder, ignore_errors=True)
    return process.wait()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--user", help="the account to run it under")
    parser.add_argument("--farewell", type=int, default=signal.SIGTERM)
    parser.add_argument("--remove", action="append", default=[], metavar="FOLDER")
    parser.add_argument("command", nargs="+")
    return parser.parse_args()


def first_of(*files: IO[str], within: float | None = None) -> list[IO[str]]:
    """Wait until a file can be read or is at its end; return those that are, if any in time."""
    return select.select(files, [], [], within)[0]


def die_with(keeper: int) -> None:
    """Have the kernel kill this process when the keeper ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != keeper:
        os._exit(1)


if __name__ == "__main__":
    code = main()
    sys.exit(code if code >= 0 else 128 - code)
