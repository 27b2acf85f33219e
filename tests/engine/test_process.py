"""One child process, as its supervisor sees it: what is left where it cannot be started."""

from __future__ import annotations

import asyncio
import errno
import os

import pytest

from tests.scenarios.procs import nothing_left_open
from workhorse.engine.config import WorkerConfig
from workhorse.engine.process import ChildProcess

pytestmark = pytest.mark.needs("linux")


@pytest.mark.parametrize("lacks", ["socket.socketpair", "subprocess.Popen", "os.pidfd_open"])
def test_a_child_that_cannot_be_started_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, lacks: str
) -> None:
    """At the limit of open files, wherever it is met: no file stays open, no process runs on."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    async def play() -> None:
        with nothing_left_open(), monkeypatch.context() as limit:
            limit.setattr(lacks, refuse)
            with pytest.raises(OSError, match="Too many open files"):
                ChildProcess(1, WorkerConfig(app="tests.engine.kinds:app"), "a-tree", solo=False)

    asyncio.run(play())
