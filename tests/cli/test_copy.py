"""`workhorse copy SOURCE TARGET`: what it prints, what it refuses, with which exit code."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import URL, Cli
from tests.cli.processes import Terminal
from tests.services.fixtures import TEMPLATE, Clusters
from tests.store.hands import Worker, a_job_in, put, put_many
from workhorse.domain.job import State
from workhorse.store.protocol import Store

TARGET = "sqlite:///new.db"


def fill(store: Store) -> None:
    put(store, idempotency_key="k")
    store.retire(Worker(store).id)
    store.pause("later")


def test_what_was_copied_is_printed(cli: Cli, store: Store, workdir: Path) -> None:
    """How much of everything, counted in both; and where the jobs are now."""
    fill(store)
    ran = cli("copy", URL, TARGET)
    assert ran.code == 0
    rows = [line.split() for line in ran.out.splitlines()]
    assert rows[0] == ["WHAT", "COPIED"]
    assert [row for row in rows[1:] if row[-1] != "0"] == [
        ["available", "1"],
        ["events", "4"],
        ["idempotency", "keys", "1"],
        ["paused", "queues", "1"],
        ["workers", "1"],
    ]
    assert [row[0] for row in rows[1:8]] == [*State]
    assert f"sqlite:///{workdir}/new.db" in ran.err
    shown = cli("jobs", "list", "-o", "ids", "--database-url", TARGET)
    assert shown.ids == [1]


def test_the_answer_for_programs(cli: Cli, store: Store) -> None:
    """JSON has a number for each thing, also for those of which there is none."""
    fill(store)
    copied = {row["name"]: row["copied"] for row in cli("copy", URL, TARGET, "-o", "json").json}
    assert (copied["available"], copied["running"], copied["events"]) == (1, 0, 4)


def test_a_worker_at_work_stops_it(cli: Cli, store: Store, workdir: Path) -> None:
    """Exit 6: who it is, and what to do. No target is made, which would pass for a store."""
    worker = Worker(store, host="build-7")
    ran = cli("copy", URL, TARGET)
    assert (ran.code, ran.out) == (6, "")
    assert f"Worker {worker.id} (host build-7, pid 4242)" in ran.err
    assert "Stop every worker first" in ran.err
    assert not list(workdir.glob("new.db*"))


def test_a_link_to_the_source_is_no_target(cli: Cli, store: Store, workdir: Path) -> None:
    """Exit 6 at once: a store is not copied into itself, by whatever name."""
    put(store)
    (workdir / "new.db").symlink_to("jobs.db")
    ran = cli("copy", URL, TARGET)
    assert ran.code == 6
    assert "cannot be copied into itself" in ran.err


def test_a_target_in_use_is_refused(cli: Cli, store: Store) -> None:
    """Exit 6, also the second time: nothing is copied onto what is there."""
    a_job_in(State.CANCELLED, store)
    store.retire(1)
    assert cli("copy", URL, TARGET).code == 0
    ran = cli("copy", URL, TARGET)
    assert ran.code == 6
    assert "new.db is not empty: it has 1 cancelled" in ran.err
    assert cli("copy", URL, URL).code == 6


def test_no_source_is_made(cli: Cli, workdir: Path) -> None:
    """Exit 4 for a file that is not there, exit 3 for what is no store at all."""
    assert cli("copy", URL, TARGET).code == 4
    assert cli("copy", "mysql://localhost/jobs", TARGET).code == 3
    assert cli("copy", URL).code == 2
    assert list(workdir.iterdir()) == []


@pytest.mark.needs("pg18")
def test_to_postgresql(cli: Cli, store: Store, clusters: Clusters) -> None:
    """Exit 3 until the target was migrated; no password is shown."""
    fill(store)
    cluster = clusters["18"]
    bare = cluster.create_database()
    prepared = cluster.create_database(template=TEMPLATE)
    url = prepared.url.replace("@", ":s3cret@")
    ran = cli("copy", URL, bare.url)
    assert ran.code == 3
    assert "workhorse migrate" in ran.err
    ran = cli("copy", URL, url)
    assert ran.code == 0
    assert "s3cret" not in ran.out + ran.err
    assert prepared.sql("select count(*) from workhorse.jobs") == [(1,)]
    assert cli("copy", url, URL).code == 6
    assert cli("copy", url, TARGET).code == 0


def test_progress_on_a_terminal(store: Store, workdir: Path) -> None:
    """A bar shows how far it is; elsewhere there is none."""
    put_many(store, 3000)
    store.close()
    with Terminal("copy", URL, TARGET, folder=workdir) as terminal:
        terminal.until("Copying").until("100%").until("3,000")
        assert terminal.end() == 0
