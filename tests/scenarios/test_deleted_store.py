"""A store that is deleted under those who use it: none of them goes on in what is gone."""

from __future__ import annotations

from contextlib import closing, suppress
from pathlib import Path

import psycopg
import pytest

from tests.scenarios.facts import eventually
from tests.scenarios.scene import Scene
from tests.scenarios.stores import SERVERS
from tests.services.postgres import Database
from tests.store.hands import put, the
from workhorse.domain.errors import StoreGone
from workhorse.domain.job import State
from workhorse.store.opening import open_store


def dropped(server: Database) -> bool:
    """Drop the schema, unless the server gives that up in favour of those at work in it."""
    with suppress(psycopg.errors.DeadlockDetected):
        server.sql("drop schema workhorse cascade")
        return True
    return False


@pytest.mark.stores("sqlite")
@pytest.mark.parametrize("replaced", [False, True], ids=["deleted", "replaced"])
def test_nobody_goes_on_in_a_file_that_is_gone(scene: Scene, *, replaced: bool) -> None:
    """An enqueue is refused, not lost; the worker ends at once; a new one takes what is there."""
    worker = scene.worker(shutdown_timeout=60)
    scene.until_told("start", job=scene.jobs.nap.enqueue(60).id)
    file = Path(scene.url.removeprefix("sqlite:///"))
    if replaced:
        other = file.with_name("other.db")
        open_store(f"sqlite:///{other}").close()
        for ending in ("-wal", "-shm"):
            file.with_name(file.name + ending).unlink(missing_ok=True)
        other.rename(file)
    else:
        for part in file.parent.glob(f"{file.name}*"):
            if part.is_file():
                part.unlink()
    with pytest.raises(StoreGone) as refused:
        scene.jobs.quick.enqueue()
    assert refused.value.hint
    assert worker.wait(within=10) == 4
    assert "deleted or replaced" in worker.log_file.read_text()

    with closing(open_store(scene.url)) as store:
        job = put(store, kind=scene.jobs.quick.name)
        scene.worker()
        eventually(lambda: the(store, job).state is State.SUCCEEDED, what="the new store's job")


@pytest.mark.stores(*SERVERS)
def test_nobody_goes_on_in_a_schema_that_is_gone(scene: Scene) -> None:
    """Each says so; the worker ends at once, whatever still runs in it."""
    worker = scene.worker(shutdown_timeout=60)
    scene.until_told("start", job=scene.jobs.nap.enqueue(60).id)
    eventually(lambda: dropped(scene.site.server))
    with pytest.raises(StoreGone, match="is not there") as refused:
        scene.jobs.quick.enqueue()
    assert refused.value.hint
    assert worker.wait(within=15) == 4
    assert "workhorse migrate" in worker.text()
