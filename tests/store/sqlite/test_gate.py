"""One writer at a time among the processes of a host, each waiting a bounded time."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.store.hands import a_job, put
from workhorse.domain.errors import Unavailable
from workhorse.domain.job import State
from workhorse.store.opening import open_store
from workhorse.store.protocol import Store
from workhorse.store.sqlite.gate import Gate

HOLD = """
import sys, time
from pathlib import Path
from workhorse.store.sqlite.gate import Gate
with Gate(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def held_elsewhere(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Let another process hold the gate."""
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        try:
            yield holder
        finally:
            holder.kill()


def test_one_at_a_time(tmp_path: Path) -> None:
    """Whoever is inside is alone there; everybody comes in."""
    inside, seen = 0, []

    def visit(number: int) -> None:
        nonlocal inside
        with closing(Gate(tmp_path / "lock")) as gate:
            for _ in range(20):
                with gate:
                    inside += 1
                    seen.append(inside)
                    inside -= 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(visit, range(8)))
    assert seen == [1] * 160


def test_the_wait_is_bounded(tmp_path: Path) -> None:
    """Who waits too long is told so, and who holds what is named."""
    path = tmp_path / "lock"
    with closing(Gate(path)) as first, closing(Gate(path, patience=0.05)) as second, first:
        before = time.monotonic()
        with pytest.raises(Unavailable, match="busy") as caught:
            second.__enter__()
        assert 0.05 <= time.monotonic() - before < 2
        assert str(path) in str(caught.value)


def test_a_dead_holder_holds_nothing(tmp_path: Path) -> None:
    """The kernel opens the gate when the process inside dies, however it dies."""
    path = tmp_path / "lock"
    with held_elsewhere(path) as holder, closing(Gate(path, patience=20)) as gate:
        killing = threading.Timer(0.1, holder.kill)
        killing.start()
        with gate:
            assert holder.wait(10) != 0
        killing.join()


def test_it_is_closed_once(tmp_path: Path) -> None:
    """Closing twice is closing once."""
    gate = Gate(tmp_path / "lock")
    gate.close()
    gate.close()


def test_nobody_comes_in_after_the_end(tmp_path: Path) -> None:
    """A write whose turn comes when the store has been closed is told so."""
    gate = Gate(tmp_path / "lock")
    gate.close()
    with pytest.raises(Unavailable, match="The store is closed"), gate:
        pass


def test_a_write_waits_for_the_gate(store: Store) -> None:
    """While another process is inside, a write waits, and a read does not."""
    assert store.run_dir is not None
    job_id = put(store)
    with held_elsewhere(store.run_dir / "write.lock") as holder, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(store.enqueue, [a_job()])
        assert store.get(job_id) is not None
        assert not waiting.done()
        holder.kill()
        assert waiting.result(10)[0].id > job_id


def test_a_write_that_waits_too_long_changes_nothing(store: Store, url: str) -> None:
    """`Unavailable` for everyone who waited, and the next write goes through."""
    assert store.run_dir is not None
    store._db._gate._patience = 0.1  # type: ignore[attr-defined]
    with held_elsewhere(store.run_dir / "write.lock"):
        with ThreadPoolExecutor(4) as pool:
            waiting = [pool.submit(store.enqueue, [a_job()]) for _ in range(4)]
            errors = [future.exception(30) for future in waiting]
        assert [type(error) for error in errors] == [Unavailable] * 4
    with closing(open_store(url)) as again:
        assert again.counts()[State.AVAILABLE] == 0
    put(store)
