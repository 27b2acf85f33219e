"""Nothing of a store survives a fork."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FORK = """
import os, sqlite3, sys
from workhorse.domain.errors import Unavailable
from workhorse.domain.job import NewJob
from workhorse.store.opening import open_store

store = open_store(sys.argv[1])
first = store.enqueue([NewJob("work")])[0].id
assert store.get(first)
child = os.fork()
if child == 0:
    told = 0
    for use in (
        lambda: store.enqueue([NewJob("work")]),
        lambda: store.get(first),
        lambda: store.tidy(),
        lambda: store.migrate(),
    ):
        try:
            use()
        except Unavailable as error:
            told += "fork" in str(error)
    store.close()  # does nothing here: the parent goes on
    os._exit(told)
_, status = os.waitpid(child, 0)
print("told", os.waitstatus_to_exitcode(status))
for _ in range(20):
    store.enqueue([NewJob("work")])
print("stored", len(store.events()))
store.close()
with sqlite3.connect(store.url.removeprefix("sqlite:///")) as raw:
    print(raw.execute("pragma integrity_check").fetchone()[0])
raw.close()
"""


def test_a_fork_is_told_and_harms_nothing(url: str, tmp_path: Path) -> None:
    """In the child every use is a clear error; the parent goes on, and the file is whole."""
    done = subprocess.run(
        [sys.executable, "-c", FORK, url], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.splitlines() == ["told 4", "stored 21", "ok"], done.stderr
