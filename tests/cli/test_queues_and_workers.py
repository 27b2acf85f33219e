"""`workhorse queues …` and `workhorse workers list`."""

from __future__ import annotations

import os
import socket

import pytest

from tests.cli.conftest import Cli
from tests.store.hands import Worker, a_job_in, put, put_many
from workhorse.domain.job import State
from workhorse.engine.wake import Sleeper
from workhorse.store.protocol import Store


def paused(store: Store) -> list[str]:
    return [queue.name for queue in store.queues() if queue.paused]


def test_queues_are_counted(cli: Cli, store: Store) -> None:
    """Each queue with its unfinished jobs by state, and how long the oldest has waited."""
    for state in State:
        a_job_in(state, store, queue=f"q-{state}")
    put_many(store, 2, queue="q-available")
    rows = {row["name"]: row for row in cli("queues", "list", "-o", "json").json}
    assert rows["q-available"]["counts"] == {
        "scheduled": 0,
        "blocked": 0,
        "available": 3,
        "running": 0,
    }
    assert rows["q-available"]["oldest_available_age"] >= 0
    assert rows["q-running"]["counts"]["running"] == 1
    assert rows["q-running"]["oldest_available_age"] is None

    title, *lines = cli("queues", "list").out.splitlines()
    assert title.split() == [
        *("QUEUE", "PAUSED", "SCHEDULED", "BLOCKED", "AVAILABLE", "RUNNING", "OLDEST")
    ]
    (line,) = [line for line in lines if line.startswith("q-running")]
    assert line.split() == ["q-running", "-", "0", "0", "0", "1", "-"]
    assert cli("queues", "list", "-o", "ids").out.split() == sorted(rows)


def test_a_queue_is_paused_and_resumed(cli: Cli, store: Store) -> None:
    """The answer is the queue as it is now; twice is once."""
    put(store, queue="mail")
    for _ in range(2):
        ran = cli("queues", "pause", "mail", "-o", "jsonl")
        assert (ran.code, ran.json["paused"]) == (0, True)
    assert paused(store) == ["mail"]
    assert "mail   paused" in cli("queues", "list").out
    ran = cli("queues", "resume", "mail", "-o", "jsonl")
    assert (ran.code, ran.json["paused"]) == (0, False)
    assert paused(store) == []


@pytest.mark.parametrize(("verb", "advice"), [("pause", "pause --new"), ("resume", "queues list")])
def test_a_queue_that_nothing_uses(cli: Cli, store: Store, verb: str, advice: str) -> None:
    """Exit 5 with the nearest name and what to do, before any other queue named is changed."""
    put(store, queue="mail")
    ran = cli("queues", verb, "mail", "mial")
    assert (ran.code, ran.out) == (5, "")
    assert "Nothing uses a queue 'mial'. Did you mean 'mail'?" in ran.err
    assert advice in ran.err
    assert paused(store) == []


def test_a_queue_may_be_paused_before_its_first_job(cli: Cli, store: Store) -> None:
    """--new says that it is no slip of the pen; a name that none can have is refused first."""
    assert cli("queues", "pause", "later", "--new").code == 0
    assert paused(store) == ["later"]
    assert cli("queues", "pause", "another", "no good", "--new").code == 2
    assert paused(store) == ["later"]


def test_a_change_wakes_the_workers(cli: Cli, store: Store) -> None:
    """Resume, requeue and cancel ring: a worker that sleeps looks at once, not at its next poll."""
    assert store.run_dir is not None
    sleeper = Sleeper(store.run_dir, "test")
    try:
        for words in (
            ["queues", "resume", "mail"],
            ["jobs", "requeue", a_job_in(State.FAILED, store)],
            ["jobs", "cancel", a_job_in(State.RUNNING, store)],
        ):
            store.pause("mail")
            assert cli(*words).code == 0
            assert sleeper.socket.recv(16)
            with pytest.raises(BlockingIOError):
                sleeper.socket.recv(16)
    finally:
        sleeper.close()


def test_workers_are_listed(cli: Cli, store: Store) -> None:
    """Who is at work, newest first, with slots and what runs; --all also who was."""
    first, second = Worker(store, queues=["a", "b"]), Worker(store, host=socket.gethostname())
    put(store, queue="a")
    first.take()
    rows = cli("workers", "list", "-o", "json").json
    assert [row["id"] for row in rows] == [second.id, first.id]
    assert (rows[1]["queues"], rows[1]["running"], rows[1]["state"]) == (["a", "b"], 1, "alive")

    title, *lines = cli("workers", "list").out.splitlines()
    assert title.split()[:7] == ["ID", "STATE", "HOST", "PID", "RUNNING", "SLOTS", "RESTARTS"]
    assert lines[1].split()[:7] == [str(first.id), "alive", "here", "4242", "1", "20", "0"]

    store.retire(second.id)
    assert cli("workers", "list", "-o", "ids").ids == [first.id]
    rows = cli("workers", "list", "--all", "-o", "jsonl").jsonl
    assert {row["id"]: row["state"] for row in rows} == {first.id: "alive", second.id: "gone"}
    assert os.getpid() != rows[0]["pid"]


def test_a_worker_whose_lease_has_run_out_is_silent(cli: Cli, store: Store) -> None:
    """It is not alive, whether or not there is another to find it lost; then that is its state."""
    silent, draining, alive = Worker(store), Worker(store), Worker(store)
    store.draining(draining.id)
    put(store)
    silent.take()

    def states(*words: str) -> dict[int, str]:
        rows = cli("workers", "list", "-o", "json", *words).json
        return {row["id"]: row["state"] for row in rows}

    assert states() == {silent.id: "alive", draining.id: "draining", alive.id: "alive"}
    for worker in (silent, draining):
        store.renew(worker.id, 0)
    assert states() == {silent.id: "silent", draining.id: "silent", alive.id: "alive"}
    assert f" {silent.id}  silent " in cli("workers", "list").out
    assert store.rescue(silent.id, reason="its lease ran out") == 1
    assert states("--all")[silent.id] == "lost"
