"""Ending process trees, whatever their members did to get away. Real processes, real signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.scenarios import procs
from tests.scenarios.facts import eventually
from workhorse.engine.proctree import (
    Family,
    descendants,
    kill_family,
    kill_tree,
    prefer_for_oom,
    resident_mib,
)

pytestmark = pytest.mark.needs("linux")

MARK = "ENGINE_TEST_TREE"
REAPER = f"""
import sys
sys.path.insert(0, {str(Path(__file__).resolve().parents[2] / "src")!r})
from workhorse.engine.proctree import adopt_orphans
adopt_orphans()
"""
BROOD = r"""
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
HOW = sys.argv[1:]
if "clean" in HOW:
    environment = {}
else:
    environment = os.environ
CHILD = '''
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if "setsid" in sys.argv: os.setsid()
if "daemon" in sys.argv and os.fork(): os._exit(0)
os.write(1, b"%d%c" % (os.getpid(), 10))
time.sleep(60)
'''
for _ in range(3):
    subprocess.Popen([sys.executable, "-S", "-c", CHILD, *HOW], env=environment)
os.write(1, b"%d%c" % (os.getpid(), 10))
if "die" in HOW:
    sys.stdin.readline()
    os.kill(os.getpid(), signal.SIGKILL)
time.sleep(60)
"""


TREES: list[Tree] = []
"""Those to be cleared away."""


class Tree:
    """A process with three below it, that have gone to some lengths."""

    def __init__(self, *how: str, reaper: bool = False) -> None:
        program = (REAPER if reaper else "") + BROOD
        self.all: set[int] = set()
        self.value = f"{os.getpid()}-{id(self)}"
        self.process = subprocess.Popen(
            [sys.executable, "-S", "-c", program, *how],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, MARK: self.value},
            start_new_session=True,
            text=True,
        )
        TREES.append(self)
        assert self.process.stdout is not None
        self.all |= {int(self.process.stdout.readline()) for _ in range(4)}
        self.root = self.process.pid
        self.below = self.all - {self.root}

    def die(self) -> None:
        """Have the root kill itself; it is not reaped."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        eventually(lambda: not procs.alive(self.root))

    def living(self) -> list[int]:
        return procs.living(self.all)

    def clear(self) -> None:
        for pid in {self.process.pid, *self.all}:
            procs.send(pid, signal.SIGKILL)
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()


@pytest.fixture
def tree() -> Iterator[Callable[..., Tree]]:
    """Return a function that plants a tree."""
    yield Tree
    while TREES:
        TREES.pop().clear()


@pytest.mark.parametrize(
    "how", [(), ("setsid",), ("daemon",), ("setsid", "daemon"), ("setsid", "daemon", "clean")]
)
def test_a_tree_is_ended_whole(tree: Callable[..., Tree], how: tuple[str, ...]) -> None:
    """Below a subreaper nobody escapes: not by a session, a double fork or a clean environment."""
    one = tree(*how, reaper=True)
    assert set(descendants(one.root)) >= one.below
    kill_tree(one.root)
    assert one.living() == []


def test_a_stopped_tree_is_ended_too(tree: Callable[..., Tree]) -> None:
    """Processes that were frozen die as well."""
    one = tree(reaper=True)
    for pid in one.all:
        procs.send(pid, signal.SIGSTOP)
    kill_tree(one.root)
    assert one.living() == []


def test_what_is_gone_can_be_ended_again(tree: Callable[..., Tree]) -> None:
    """Ending a tree twice, or one whose root is a zombie, does nothing and raises nothing."""
    one = tree(reaper=True)
    kill_tree(one.root)
    kill_tree(one.root)
    assert descendants(one.root) == []


@pytest.mark.parametrize(
    ("how", "by"),
    [
        (("setsid", "daemon"), "mark"),
        (("clean",), "session"),
        (("clean",), "group"),
        (("daemon", "clean"), "session"),
    ],
)
def test_what_a_death_orphaned_is_found(
    tree: Callable[..., Tree], how: tuple[str, ...], by: str
) -> None:
    """The family of a killed process is known by its mark, or by where it was born."""
    one = tree("die", *how)
    one.die()
    assert set(one.living()) == one.below
    family = {
        "mark": Family(f"{MARK}={one.value}"),
        "session": Family("NO=mark", frozenset({one.root})),
        "group": Family("NO=mark", groups=frozenset({one.root})),
    }[by]
    assert set(family.members()) == one.below
    assert set(kill_family(family)) == one.below
    assert one.living() == []
    assert family.members() == []


def test_others_are_left_alone(tree: Callable[..., Tree]) -> None:
    """A family is not its neighbours, and the one above it may be spared."""
    one, other = tree(), tree()
    met = kill_family(Family(f"{MARK}={one.value}"), spare=[one.root])
    assert set(met) == one.below
    assert one.living() == [one.root]
    assert set(other.living()) == other.all


def test_a_mark_is_matched_whole(tree: Callable[..., Tree]) -> None:
    """A mark that merely begins like another's is another."""
    one = tree()
    assert Family(f"{MARK}={one.value[:-1]}").members() == []
    assert Family(one.value).members() == []


@pytest.mark.parametrize("since", ["before", "the names were read"])
def test_what_cannot_be_looked_at_is_not_taken_for_gone(
    tree: Callable[..., Tree], since: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no descriptor to look with nobody is told that all are dead; with one they are ended."""
    one = tree("setsid", reaper=True)
    family = Family(f"{MARK}={one.value}")
    with monkeypatch.context() as limit:
        if since != "before":
            names = [path.name for path in Path("/proc").iterdir()]
            limit.setattr(os, "listdir", lambda _: names)
        for look in (
            lambda: descendants(one.root),
            family.members,
            lambda: kill_tree(one.root),
            lambda: kill_family(family),
        ):
            with procs.no_descriptor(), pytest.raises(OSError, match="Too many open files"):
                look()
    assert set(one.living()) == one.all
    kill_tree(one.root)
    assert one.living() == []


def test_memory_is_measured() -> None:
    """Resident memory is in MiB, and nothing for a process that is gone."""
    assert 5 < resident_mib(os.getpid()) < 5000
    gone = subprocess.Popen([sys.executable, "-S", "-c", ""])
    gone.wait()
    assert resident_mib(gone.pid) == 0.0


def test_a_child_dies_before_its_supervisor_for_memory() -> None:
    """The kernel is told whom to choose."""
    program = f"{REAPER}\nfrom workhorse.engine.proctree import prefer_for_oom; prefer_for_oom()\n"
    program += "print(open('/proc/self/oom_score_adj').read())"
    done = subprocess.run(
        [sys.executable, "-S", "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "800"
    assert prefer_for_oom.__defaults__ == (800,)
