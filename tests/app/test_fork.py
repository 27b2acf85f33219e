"""An app goes on in a process that was forked off: a server's workers, a pool."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.fixtures import TEMPLATE

FORK = """
import asyncio, multiprocessing, sys, threading

from workhorse import Workhorse

app = Workhorse(sys.argv[1])


@app.job
def work(number: int) -> None: ...


def enqueue(number):
    return work.enqueue(number).id, asyncio.run(aenqueue(number))


async def aenqueue(number):
    return (await work.aenqueue(number)).id


held = app._lock
in_thread, over = threading.Event(), threading.Event()


def hold():
    with held:
        in_thread.set()
        over.wait()


if __name__ == "__main__":
    ids = {*enqueue(0)}
    holder = threading.Thread(target=hold)
    holder.start()
    in_thread.wait()
    with multiprocessing.get_context("fork").Pool(3) as pool:
        over.set()
        for pair in pool.map(enqueue, range(1, 10)):
            ids.update(pair)
        pool.close()
        pool.join()
    holder.join()
    ids.update(enqueue(10))
    assert len(ids) == 22, ids
    assert {app.get(id).state for id in ids} == {"available"}
    app.close()
    print("stored", len(ids))
"""


@pytest.fixture(params=["sqlite", pytest.param("18", id="pg18", marks=pytest.mark.needs("pg18"))])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'jobs.db'}"
        return
    cluster = request.getfixturevalue("clusters")[request.param]
    database = cluster.create_database(template=TEMPLATE)
    yield database.url
    cluster.drop_database(database.name)


def test_both_sides_of_a_fork_enqueue(url: str) -> None:
    """Each with a store of its own; what the other has open, or locked, is left to it."""
    program = [sys.executable, "-c", FORK, url]
    done = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.returncode) == ("stored 22\n", 0), done.stderr
