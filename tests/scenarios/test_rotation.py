"""The store's password is changed: whoever has the URL from a file goes on with the new one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.scenarios.facts import eventually
from tests.scenarios.scene import Scene
from tests.scenarios.stores import own_server
from tests.services.postgres import SCRAM, Database
from tests.store.hands import put
from workhorse.domain.job import State
from workhorse.sources import configured_url
from workhorse.store.opening import open_store

pytestmark = pytest.mark.stores("pg18")
VARIABLE = "WORKHORSE_DATABASE_URL"


def test_a_password_that_is_changed(
    make_scene: Callable[..., Scene], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Worker and client read the file again; no process of a handler is told what is in it."""
    file, (role, old) = tmp_path / "url", SCRAM
    with own_server() as site:
        scene = make_scene("stage", site)

        def write(password: str) -> None:
            file.write_text(site.server.cluster.url(site.server.name, user=role, password=password))

        write(old)
        worker = scene.worker(extra={VARIABLE: "", f"{VARIABLE}_FILE": "url"})
        monkeypatch.delenv(VARIABLE)
        monkeypatch.setenv(f"{VARIABLE}_FILE", str(file))
        with closing(open_store(configured_url() or "")) as client:
            scene.until(put(client, kind="quick"))
            running = scene.jobs.nap_process.enqueue(3).id
            scene.until_told("start", job=running)
            for process in worker.tree():
                assert quote(old, safe="").encode() not in environment_of(process.pid)
            site.server.sql(f"alter role {role} password 'another'")
            write("another")
            before = connections(site.server)
            site.server.cluster.terminate_backends(site.server.name)
            eventually(lambda: before.isdisjoint(connections(site.server)))
            for job in (running, put(client, kind="quick"), put(client, kind="quick_process")):
                assert scene.until(job).state is State.SUCCEEDED
        assert scene.starts(running) == 1
        assert worker.stop() == 0
        assert len(worker.logs("worker started")) == 1


def connections(server: Database) -> set[int]:
    """Return the server's processes that serve a connection with a password."""
    found = server.sql("select pid from pg_stat_activity where usename = %s", SCRAM[0])
    return {pid for (pid,) in found}


def environment_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:  # it has ended meanwhile
        return b""
