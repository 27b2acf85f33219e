"""A stream whose reader is slow, or is none: what finds no room is dropped, by whole lines."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from select import PIPE_BUF

import pytest
from structlog.testing import capture_logs

from workhorse.engine import streams
from workhorse.engine.streams import PATIENCE

LINE = b"x" * (PIPE_BUF - 1) + b"\n"


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe with room for one line."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE_BUF)
    yield reader, writer
    os.close(reader)
    os.close(writer)


def test_only_the_first_line_is_waited_for(pipe: tuple[int, int]) -> None:
    """Half a second, in case the reader is slow; then nothing waits, until there is room again."""
    reader, writer = pipe
    file = streams._Forgiving(writer)
    began = time.monotonic()
    for _ in range(100):
        assert file.write(LINE) == len(LINE)
    assert PATIENCE <= time.monotonic() - began < 20 * PATIENCE, "others waited, too"
    assert file.dropped == 99
    assert os.read(reader, 2 * PIPE_BUF) == LINE
    assert file.has_room()
    file.write(b"again\n")
    assert os.read(reader, 2 * PIPE_BUF) == b"again\n"


def test_a_line_that_was_cut_is_ended(pipe: tuple[int, int]) -> None:
    """What is written after one that found no room for its end stands on a line of its own."""
    reader, writer = pipe
    file = streams._Forgiving(writer)
    file.write(b"y" * PIPE_BUF + b"its end\n")
    assert os.read(reader, 2 * PIPE_BUF) == b"y" * PIPE_BUF
    file.write(b"next\n")
    assert os.read(reader, 2 * PIPE_BUF) == b"\nnext\n"


def test_a_line_that_was_cut_by_one_stream_is_ended_by_another(pipe: tuple[int, int]) -> None:
    """Standard error and the process's own log lead to one reader: a line of its own to each."""
    reader, writer = pipe
    code = """if True:
        import sys
        from workhorse.engine.streams import forgive
        log_to = forgive()
        print("y" * 6000, file=sys.stderr, flush=True)
        print("cut", flush=True)
        sys.stdin.readline()
        log_to.write("of the log\\n")
    """
    command = [sys.executable, "-c", code]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=writer
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"cut\n"
        assert os.read(reader, 2 * PIPE_BUF) == b"y" * PIPE_BUF
        process.communicate(b"go on\n", timeout=30)
    assert os.read(reader, 2 * PIPE_BUF) == b"\nof the log\n"


def test_a_line_whose_newline_found_no_room_is_ended(pipe: tuple[int, int]) -> None:
    """A stream that is not buffered writes it by itself."""
    reader, writer = pipe
    file = streams._Forgiving(writer)
    file.write(b"y" * PIPE_BUF)
    file.write(b"\n")
    assert os.read(reader, 2 * PIPE_BUF) == b"y" * PIPE_BUF
    file.write(b"next\n")
    assert os.read(reader, 2 * PIPE_BUF) == b"\nnext\n"


@pytest.mark.parametrize("write", ["print('said')", "sys.stdout.buffer.write(b'said\\n')"])
def test_what_is_not_buffered_is_out_at_once(write: str) -> None:
    """With ``python -u`` what a handler has printed is not lost when its process is killed."""
    code = f"""if True:
        import os, signal, sys
        from workhorse.engine.streams import forgive
        forgive()
        {write}
        os.kill(os.getpid(), signal.SIGKILL)
    """
    command = [sys.executable, "-u", "-c", code]
    ran = subprocess.run(command, capture_output=True, timeout=30, check=False)
    assert (ran.returncode, ran.stdout) == (-signal.SIGKILL, b"said\n"), ran.stderr


def test_what_was_dropped_is_told_when_there_is_room(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = pipe
    file = streams._Forgiving(writer)
    monkeypatch.setattr(streams, "_forgiving", [file])
    for _ in range(3):
        file.write(LINE)
    with capture_logs() as logs:
        streams.tell_of_dropped()
        assert logs == [], "there is no room yet"
        os.read(reader, 2 * PIPE_BUF)
        for _ in range(2):
            streams.tell_of_dropped()
    assert [(line["event"], line["lines"]) for line in logs] == [
        ("lines were dropped: nobody read them", 2)
    ]
