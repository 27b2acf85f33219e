"""A server that is there and refuses: a worker says why, waits, and goes on when it may again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.scenarios.facts import eventually
from tests.scenarios.scene import Scene
from tests.services.fixtures import SERIALIZABLE
from tests.services.postgres import SUPERUSER, Database
from tests.services.rights import APP, rights
from workhorse.domain.job import State

pytestmark = pytest.mark.stores("pg15", "pg18")


@pytest.fixture
def server(scene: Scene) -> Iterator[Database]:
    """The server, whose role `SERIALIZABLE` is as it was when the test is over."""
    yield scene.site.server
    scene.site.server.sql("alter role serializable connection limit -1")


def as_role(server: Database) -> str:
    """Return the way of a role that the server may refuse something."""
    return server.cluster.url(server.name, user=SERIALIZABLE)


def test_rights_that_are_taken_away(scene: Scene, server: Database) -> None:
    """What ends meanwhile is not run again: its end is written down when they are granted."""
    worker = scene.worker(as_role(server))
    job = scene.jobs.nap.enqueue(1).id
    scene.until_told("start", job=job)
    server.sql("revoke insert, update, delete on all tables in schema workhorse from serializable")
    scene.until_told("end", job=job)
    eventually(lambda: "permission denied" in worker.text(), what="a word about it")
    assert scene.state(job) is State.RUNNING
    server.sql(rights(APP, owner=SUPERUSER, name=SERIALIZABLE))
    ended = scene.until(job)
    assert (ended.state, ended.attempt, scene.starts(job)) == (State.SUCCEEDED, 1, 1)
    assert "Traceback" not in worker.text()


def test_a_burst_without_rights(scene: Scene, server: Database) -> None:
    """It ends with 4 and the reason, rather than pile up with those that are started after it."""
    server.sql("revoke insert, update, delete on all tables in schema workhorse from serializable")
    worker = scene.worker(as_role(server), flags=["--burst"])
    assert worker.wait() == 4
    assert "permission denied" in worker.text()


def test_no_connection_left_for_a_child(scene: Scene, server: Database) -> None:
    """It is started again, in one line each time, until there is one."""
    # The supervisor has it, from its first look at the store on.
    server.sql("alter role serializable connection limit 1")
    worker = scene.worker(as_role(server))
    job = scene.jobs.quick.enqueue().id
    eventually(lambda: worker.logs("the store cannot be opened"), what="a child without")
    server.sql("alter role serializable connection limit -1")
    assert scene.until(job).state is State.SUCCEEDED
    assert worker.exit_code is None
    assert "too many connections" in worker.logs("the store cannot be opened")[0]["error"]
    assert "Traceback" not in worker.text()
