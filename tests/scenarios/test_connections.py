"""What a worker takes of a server's connections is what the guide says of it."""

from __future__ import annotations

import re
import signal
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

from tests.scenarios import procs
from tests.scenarios.facts import eventually
from tests.scenarios.scene import Scene
from tests.scenarios.workers import WorkerProcess

GUIDE: Final = Path(__file__).parents[2] / "docs" / "guide" / "postgres.md"
JOBS: Final = 10_000

Seen = Counter[tuple[str, str]]
"""How many connections, by whose they are and what they are called."""


def told() -> Seen:
    """Return the most that the guide's table tells of."""
    rows = re.findall(
        r"^\| ([\w ]+) \| ([\w ]+) \| `'(workhorse \w+)'` \|", GUIDE.read_text(), re.MULTILINE
    )
    return Counter({(whose, name): int(most.split()[-1]) for most, whose, name in rows})


def taken(scene: Scene, worker: WorkerProcess) -> Seen:
    """Return the most that any process of its kind has now."""
    found = scene.site.server.sql(
        "select client_port, application_name from pg_stat_activity"
        " where application_name like 'workhorse %'"
    )
    names = {port: str(name) for port, name in found}
    seen: Seen = Counter()
    for pid, whose in [(worker.pid, "the supervisor")] + [
        (child.pid, "each child") for child in worker.children()
    ]:
        its = Counter((whose, names[port]) for port in procs.ports(pid) if port in names)
        seen |= its
    return seen


@pytest.mark.stores("pg18")
def test_the_guide_tells_of_all_connections(scene: Scene) -> None:
    """In a flood beside long jobs, and when a child has died: never more, and of each kind some."""
    for _ in range(3):
        scene.jobs.nap.using(priority="critical").enqueue(60)
    scene.app.enqueue_many([scene.jobs.quick.bind() for _ in range(JOBS)])
    last = scene.jobs.quick.using(priority="low").enqueue()
    worker = scene.worker(concurrency=20, processes=2, log_level="error")
    most: Seen = Counter()

    def look_until(done: bool) -> bool:
        nonlocal most
        most |= taken(scene, worker)
        return done

    eventually(lambda: look_until(scene.job(last.id).is_finished), within=90)
    procs.send(worker.children()[0].pid, signal.SIGKILL)
    eventually(lambda: look_until(most.keys() == told().keys()), what=f"{told()}")
    assert most <= told()
    print(f"connections: {dict(most)}")
