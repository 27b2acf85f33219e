"""`workhorse events export`: the record, for whoever keeps it."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Cli
from tests.store.hands import OK, Worker, put, put_many
from workhorse.domain.events import Output, OutputLine
from workhorse.store.protocol import Store


def test_the_record_is_exported(cli: Cli, store: Store) -> None:
    """Every edge and every worker's coming and going, oldest first, a line of JSON each."""
    worker = Worker(store)
    job_id = put(store)
    worker.run(OK)
    lines = cli("events", "export").jsonl
    assert [line["name"] for line in lines] == ["worker_started", "enqueue", "claim", "complete"]
    assert [line["job_id"] for line in lines] == [None, job_id, job_id, job_id]
    assert lines == sorted(lines, key=lambda line: line["seq"])
    assert set(lines[0]) == {"seq", "at", "name", "job_id", "attempt", "worker", "data"}


def test_an_export_goes_on_where_the_last_one_ended(cli: Cli, store: Store) -> None:
    """--after the last seq: nothing twice, nothing left out, however it is cut."""
    put_many(store, 7)
    whole = cli("events", "export").jsonl
    parts, after = [], 0
    assert cli("events", "export", "--limit", 10**30).code == 2
    while part := cli("events", "export", "--after", after, "--limit", 3).jsonl:
        assert len(part) <= 3
        parts += part
        after = part[-1]["seq"]
    assert parts == whole


@pytest.mark.parametrize("after", [-1, -(10**20), 10**20])
def test_a_cursor_that_is_none(cli: Cli, store: Store, after: int) -> None:
    """Exit 2 with what a cursor is, for the whole record as for that of a job."""
    job_id = put(store)
    for words in (["events", "export"], ["jobs", "logs", job_id]):
        ran = cli(*words, f"--after={after}")
        assert (ran.code, ran.out) == (2, "")
        assert f"after={after} is not the number of an event" in ran.err


def test_the_record_of_a_job_that_is_not_there(cli: Cli, store: Store) -> None:
    """Exit 5, as with what a job said: also of one that was deleted, whose record went with it."""
    job_id = put(store)
    store.cancel(job_id)
    store.delete(job_id)
    for words in (["events", "export", "--job", job_id], ["jobs", "logs", job_id]):
        ran = cli(*words)
        assert (ran.code, ran.out, ran.err) == (5, "", f"Error: There is no job {job_id}.\n")


def test_more_than_a_page_is_exported(cli: Cli, store: Store) -> None:
    """A long record comes whole."""
    put_many(store, 2500)
    assert len(cli("events", "export").out.splitlines()) == 2500


def test_what_jobs_said_is_left_out_unless_asked_for(cli: Cli, store: Store) -> None:
    """The audit holds no payloads; --with-output adds log and progress; --job is one job's."""
    worker = Worker(store)
    ids = put_many(store, 2)
    for job in worker.claim():
        line = OutputLine(job.id, job.attempt, Output.LOG, '{"message":"secret"}')
        worker.turn(output=[line])
    assert "secret" not in cli("events", "export").out
    lines = cli("events", "export", "--with-output", "--job", ids[1]).jsonl
    assert [(line["name"], line["job_id"]) for line in lines] == [
        ("enqueue", ids[1]),
        ("claim", ids[1]),
        ("log", ids[1]),
    ]
