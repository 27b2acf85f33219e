"""What tells a process to end, in the processes that run handlers, and in what handlers start."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Final

ENDING: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def leave_to_supervisor() -> None:
    """Go on when one arrives: the supervisor says when to end.

    They are not ignored, unless they were (by `nohup`): a program that a handler starts would
    ignore them as well.
    """
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _go_on)
            signal.siginterrupt(number, False)  # noqa: FBT003 - the only way to say it
    be_usual_in_forks()


def be_usual_in_forks() -> None:
    """Have them end what a handler forks, the processes of a pool for example.

    They wait while it forks: Python forgets what comes before it has set itself up again.
    """
    mask = threading.local()

    def before() -> None:
        mask.former = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)

    def in_parent() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask.former)

    def in_child() -> None:
        for number in ENDING:
            if signal.getsignal(number) is not signal.SIG_IGN:
                usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
                signal.signal(number, usual)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask.former - set(ENDING))

    os.register_at_fork(before=before, after_in_parent=in_parent, after_in_child=in_child)


def _go_on(_number: int, _frame: FrameType | None) -> None:
    pass
