"""`workhorse jobs list | show | wait | watch | logs`: what they tell of jobs."""

from __future__ import annotations

import json
import threading
from contextlib import closing
from datetime import datetime, timedelta

import pytest

from tests.cli.conftest import URL, Cli
from tests.store.hands import ERROR, OK, Worker, a_job_in, put, put_many, settled, state
from workhorse.domain.events import Output, OutputLine
from workhorse.domain.job import Claimed, State
from workhorse.domain.outcome import Completed, Failed, Failure, Rejected, TimedOut
from workhorse.domain.retry import Backoff
from workhorse.store.opening import open_store
from workhorse.store.protocol import JobFilter, Store

NASTY = "\x1b]0;owned\x07 \x9b31m \u202e evil \x7f\r\n"


def say(worker: Worker, job: Claimed, name: Output, **data: object) -> None:
    """Add one line to what a running job has said."""
    worker.turn(output=[OutputLine(job.id, job.attempt, name, json.dumps(data))])


# ── list ────────────────────────────────────────────────────────────────────────────────────────


def test_a_list_of_jobs_for_people(cli: Cli, store: Store) -> None:
    """Newest first, a title over each column, and of each job what is most worth knowing."""
    for name in State:
        a_job_in(name, store)
    ran = cli("jobs", "list")
    assert (ran.code, ran.err) == (0, "")
    title, *lines = ran.out.splitlines()
    assert title.split() == [
        *("ID", "STATE", "KIND", "QUEUE", "PRIO", "ATTEMPT", "OUTCOME", "ENQUEUED", "TOOK", "NOTE")
    ]
    notes = {line.split()[1]: line[title.index("NOTE") :] for line in lines}
    assert set(notes) == set(State)
    assert notes["scheduled"].startswith("due 20")
    assert notes["blocked"] == "after 2"
    assert notes["failed"] == "ValueError: it went wrong"
    assert notes["cancelled"] == "Cancelled: cancelled on request"
    assert notes["succeeded"] == "-"


def test_a_running_job_says_how_far_it_is(cli: Cli, store: Store) -> None:
    """Its progress, and that it was told to end."""
    worker = Worker(store)
    job_id = put(store)
    job = worker.take()
    say(worker, job, Output.PROGRESS, percent=40, message="copying")
    assert cli("jobs", "list").out.rstrip().endswith("40% copying")
    store.cancel(job_id)
    assert cli("jobs", "list").out.rstrip().endswith("cancel requested")


def test_a_running_job_has_no_outcome_yet(cli: Cli, store: Store) -> None:
    """How its last attempt ended is not what it is at; waiting for the next one it is."""
    worker = Worker(store)
    job_id = put(store, backoff=Backoff(base=0, jitter=0))
    worker.run(ERROR)
    assert cli("jobs", "list").out.splitlines()[1].split()[6:8] == ["(1/5)", "error"]
    store.promote()
    worker.take()
    assert cli("jobs", "list").out.splitlines()[1].split()[6:8] == ["(1/5)", "-"]
    lines = cli("jobs", "show", job_id).out.splitlines()
    assert not any(line.startswith("outcome") for line in lines)
    assert any(line.startswith("attempt 1  error after ") for line in lines)


def test_a_list_in_each_shape(cli: Cli, store: Store) -> None:
    """json is one array, jsonl a line each, ids the ids; all of the same jobs."""
    ids = list(reversed(put_many(store, 3)))
    rows = cli("jobs", "list", "-o", "json").json
    assert [row["id"] for row in rows] == ids
    assert cli("jobs", "list", "-o", "jsonl").jsonl == rows
    assert cli("jobs", "list", "-o", "ids").ids == ids


def test_an_empty_list(cli: Cli, store: Store) -> None:
    """No jobs are no error, in any shape."""
    shown = {output: cli("jobs", "list", "-o", output) for output in ("json", "jsonl", "ids")}
    assert {ran.code for ran in shown.values()} == {0}
    assert [ran.out for ran in shown.values()] == ["[]\n", "", ""]
    assert cli("jobs", "list").out.startswith("ID")


def test_filters_narrow_the_list(cli: Cli, store: Store) -> None:
    """--state, --queue, --kind and --worker; a filter given twice takes either."""
    worker = Worker(store, queues=["a"], kinds=["one"])
    first = put(store, queue="a", kind="one")
    worker.take()
    second = put(store, queue="b", kind="two")
    third = put(store, queue="c", kind="one")

    def found(*filters: object) -> list[int]:
        return cli("jobs", "list", "-o", "ids", *filters).ids

    assert found("--state", "running") == [first]
    assert found("--kind", "one") == [third, first]
    assert found("--queue", "a", "--queue", "b") == [second, first]
    assert found("--worker", worker.id) == [first]
    assert found("--kind", "one", "--state", "available") == [third]


def test_a_list_of_what_went_wrong_lately(cli: Cli, store: Store) -> None:
    """By outcome, and by when the jobs were enqueued; what is no instant is refused."""
    worker = Worker(store)
    fine, late, wrong = (put(store, max_attempts=1) for _ in range(3))
    for outcome in (Completed(), TimedOut(1), ERROR):
        worker.run(outcome)
    rows = cli("jobs", "list", "-o", "json").json
    since = rows[0]["enqueued_at"]
    ids = ("jobs", "list", "-o", "ids")
    assert cli(*ids, "--outcome", "timed_out").ids == [late]
    assert cli(*ids, "--outcome", "error", "--outcome", "ok").ids == [wrong, fine]
    assert cli(*ids, "--since", since, "--outcome", "error").ids == [wrong]
    assert cli(*ids, "--until", "1999-12-31T23:59:59Z").ids == []
    just_after = (datetime.fromisoformat(since) + timedelta(microseconds=1)).isoformat()
    assert wrong not in cli(*ids, "--since", just_after).ids
    assert wrong in cli(*ids, "--until", just_after).ids
    assert cli(*ids, "--since", "0001-01-01T00:00+05:00", "--until", "9999-12-31T23:59Z").ids == [
        wrong,
        late,
        fine,
    ]
    again = cli("jobs", "requeue", "--all", "--outcome", "timed_out", "--yes", "-o", "ids")
    assert again.ids == [late]
    for words in (["--since", "yesterday"], ["--until", "2030-01-31T08:00"]):
        ran = cli(*ids, *words)
        assert (ran.code, ran.out) == (2, "")
        assert "is no date and time with its zone" in ran.err


def test_a_long_list_is_shown_page_by_page(cli: Cli, store: Store) -> None:
    """Each page says how to get the next; the last says nothing."""
    ids = list(reversed(put_many(store, 5)))
    ran = cli("jobs", "list", "-o", "ids", "--limit", 3)
    assert (ran.ids, ran.err) == (ids[:3], f"There are more: --before {ids[2]}\n")
    ran = cli("jobs", "list", "-o", "ids", "--limit", 2, "--before", ids[2])
    assert (ran.ids, ran.err) == (ids[3:], "")


def test_a_name_of_the_past_is_no_slip(cli: Cli, store: Store) -> None:
    """Nothing waits in a queue whose jobs have ended: they are there all the same."""
    a_job_in(State.SUCCEEDED, store, queue="mail", kind="work")
    store.retire(store.workers()[0].id)
    put(store, queue="other", kind="resize")
    for name in (["--queue", "mail"], ["--kind", "work"]):
        ran = cli("jobs", "list", "--state", "failed", *name)
        assert (ran.code, ran.err) == (0, "")


def test_a_name_that_nothing_has_is_met_with_the_nearest(cli: Cli, store: Store) -> None:
    """An empty list under a slip of the pen says which name was probably meant."""
    put(store, kind="resize", queue="pictures")
    ran = cli("jobs", "list", "--queue", "picture", "--kind", "resise")
    assert ran.code == 0
    assert "Nothing uses a queue 'picture'. Did you mean 'pictures'?" in ran.err
    assert "Nothing uses a kind 'resise'. Did you mean 'resize'?" in ran.err
    assert cli("jobs", "list", "--queue", "pictures", "--state", "failed").err == ""


@pytest.mark.parametrize("seconds", ["nan", "-5", "soon"])
@pytest.mark.parametrize("words", [["jobs", "wait", 1], ["jobs", "watch", 1], ["enqueue", "k"]])
def test_a_patience_that_is_none(cli: Cli, store: Store, words: list[object], seconds: str) -> None:
    """What is no number of seconds from 0 on is wrong usage: exit 2, at once, nothing is done."""
    job_id = put(store)
    flag = "--wait-timeout" if words[0] == "enqueue" else "--timeout"
    ran = cli(*words, flag, seconds)
    assert (ran.code, ran.out) == (2, "")
    assert flag in ran.err
    assert [job.id for job in store.list_jobs(JobFilter())] == [job_id]


def test_an_event_that_cannot_be(cli: Cli, store: Store) -> None:
    """A number beyond all that an event can have is refused in words."""
    ran = cli("jobs", "logs", put(store), "--after", 10**30)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        f"Error: after={10**30} is not the number of an event. "
        "Give the `seq` of one, or 0 to begin with the first.\n"
    )


# ── show ────────────────────────────────────────────────────────────────────────────────────────


def test_a_failed_job_shows_its_attempts_and_the_cause(cli: Cli, store: Store) -> None:
    """Each attempt with its outcome and reason, and the traceback of the last."""
    worker = Worker(store)
    job_id = put(store, max_attempts=2, backoff=Backoff(base=0))
    trace = 'Traceback\n  File "jobs.py", line 3\nValueError: no'
    worker.run(ERROR)
    assert store.promote().jobs == 1
    worker.run(Failed(Failure("ValueError", "no\nreally", trace)))

    ran = cli("jobs", "show", job_id)
    assert ran.code == 0
    lines = ran.out.splitlines()
    assert "state      failed" in lines
    assert "budget     2 of 2 failures used" in lines
    assert "           Requeue it once the cause is mended." in lines
    assert any(line.startswith("attempt 1  error after ") for line in lines)
    assert "           ValueError: it went wrong" in lines
    assert "           ValueError: no" in lines
    assert "           really" in lines
    assert "traceback  Traceback" in lines
    assert '             File "jobs.py", line 3' in lines

    row = cli("jobs", "show", job_id, "-o", "json").json
    assert [attempt["outcome"] for attempt in row["attempts"]] == ["error", "error"]
    assert row["error"]["traceback"] == trace


def test_an_error_that_says_nothing_is_its_type(cli: Cli, store: Store) -> None:
    """`raise KeyboardInterrupt` and the like: no colon leads to nothing."""
    job_id = put(store, max_attempts=1)
    Worker(store).run(Failed(Failure("AssertionError", "")))
    for words in (["list"], ["show", job_id], ["watch", job_id]):
        said = cli("jobs", *words).out
        assert "AssertionError" in said
        assert "AssertionError:" not in said


def test_a_waiting_job_says_why_it_waits(cli: Cli, store: Store) -> None:
    """Nobody at work, or a paused queue: `jobs show` tells which."""
    job_id = put(store)
    assert (
        "No worker is alive: start one with `workhorse worker`." in cli("jobs", "show", job_id).out
    )
    Worker(store)
    store.pause("default")
    why = cli("jobs", "show", job_id, "-o", "json").json["why"]
    assert "Queue 'default' is paused" in why
    assert "No worker" not in why


def test_a_blocked_job_notes_what_it_waits_for(cli: Cli, store: Store) -> None:
    """The jobs before it; when those have succeeded, its time."""
    first = put(store)
    waiting = put(store, after=[first], run_at=1_999_999_999_000)
    assert f" after {first}\n" in cli("jobs", "list").out
    Worker(store).run(OK)
    assert state(store, waiting) is State.BLOCKED
    assert " due 2033-05-18T03:33:19Z\n" in cli("jobs", "list").out


def test_a_succeeded_job_shows_its_result(cli: Cli, store: Store) -> None:
    """The values themselves, not their JSON text."""
    job_id = put(store, args='{"n":1}')
    Worker(store).run(Completed('{"n":[1,2]}'))
    row = cli("jobs", "show", job_id, "-o", "jsonl").json
    assert (row["args"], row["result"]) == ({"n": 1}, {"n": [1, 2]})
    assert row["why"].startswith(f"Job {job_id} (work) succeeded at ")
    assert cli("jobs", "show", job_id, "-o", "ids").ids == [job_id]
    assert '{"n": [1, 2]}' in cli("jobs", "show", job_id).out


@pytest.mark.parametrize("command", ["show", "watch", "logs", "wait", "cancel", "requeue"])
@pytest.mark.parametrize("job_id", [7, 2**63 - 1])
def test_a_job_that_is_not_there(cli: Cli, store: Store, command: str, job_id: int) -> None:
    """Exit 5, one line."""
    ran = cli("jobs", command, job_id)
    assert (ran.code, ran.err) == (5, f"Error: There is no job {job_id}.\n")


@pytest.mark.parametrize("command", ["list", "show 1", "watch 1", "logs 1", "cancel 1"])
def test_a_store_that_is_not_there(cli: Cli, command: str) -> None:
    """Looking makes no store: exit 4, one line that says what would make one."""
    ran = cli("jobs", *command.split())
    assert ran.code == 4
    assert ran.err.startswith("Error: There is no store at sqlite:///.workhorse/jobs.db")
    assert "`workhorse migrate` makes one." in ran.err
    assert len(ran.err.splitlines()) == 1


def test_what_a_job_wrote_cannot_drive_the_terminal(cli: Cli, store: Store) -> None:
    """Control characters in arguments, results, messages and logs are shown as escapes."""
    worker = Worker(store)
    text = json.dumps(NASTY)
    ids = put_many(store, 2, args=f'{{"name":{text}}}', max_attempts=1)
    for outcome in (Completed(text), Rejected(NASTY)):
        job = worker.take()
        say(worker, job, Output.LOG, message=NASTY, stream="log", field=NASTY)
        say(worker, job, Output.PROGRESS, percent=1, message=NASTY)
        worker.settle(job, outcome)
    for job_id in ids:
        for words in (
            ["list"],
            ["list", "-o", "json"],
            ["list", "-o", "jsonl"],
            ["show", job_id],
            ["show", job_id, "-o", "json"],
            ["logs", "--all", job_id],
            ["logs", "--all", job_id, "-o", "jsonl"],
            ["watch", job_id],
            ["wait", job_id],
        ):
            ran = cli("jobs", *words)
            shown = (ran.out + ran.err).replace("\n", "")
            assert all(char.isprintable() for char in shown), (words, shown)
            assert "evil" in shown or words[0] == "wait"
    assert cli("jobs", "show", ids[0], "-o", "json").json["result"] == NASTY


# ── wait, watch, logs ───────────────────────────────────────────────────────────────────────────


def test_wait_takes_many(cli: Cli, store: Store) -> None:
    """Exit 0 when all succeeded, 1 when one did not; ids come from stdin too."""
    good = [a_job_in(State.SUCCEEDED, store) for _ in range(2)]
    bad = a_job_in(State.FAILED, store)
    ran = cli("jobs", "wait", "-", "-o", "ids", stdin=f"{good[0]}\n{good[1]}\n")
    assert (ran.code, ran.ids) == (0, good)
    assert cli("jobs", "wait", *good, bad).code == 1


def test_wait_has_an_end(cli: Cli, store: Store) -> None:
    """The time limit is for all of them together: exit 7, and the one that took too long."""
    ids = [a_job_in(State.SUCCEEDED, store), put(store)]
    ran = cli("jobs", "wait", *ids, "--timeout", 0.02)
    assert (ran.code, ran.out) == (7, "")
    assert ran.err == f"Error: Job {ids[1]} is still available after 0.02 s.\n"


def test_wait_looks_for_every_job_first(cli: Cli, store: Store) -> None:
    """An id that is not there is told at once, not after the others have ended."""
    assert cli("jobs", "wait", put(store), 999).code == 5


def test_watch_tells_a_job_that_has_ended(cli: Cli, store: Store) -> None:
    """The whole story, then the end; exit 1 when it did not succeed."""
    job_id = a_job_in(State.FAILED, store)
    ran = cli("jobs", "watch", job_id)
    assert ran.code == 1
    lines = [line.partition("  ")[2] for line in ran.out.splitlines()[:-2]]
    assert lines == ["enqueue", "claim attempt 1", "fail attempt 1 outcome=error error=ValueError"]
    assert ran.out.endswith("ValueError: it went wrong\n")
    ran = cli("jobs", "watch", job_id, "-o", "ids")
    assert (ran.code, ran.ids) == (1, [job_id])


def test_watch_has_an_end(cli: Cli, store: Store) -> None:
    """Exit 7, and the job is as it was."""
    job_id = put(store)
    assert cli("jobs", "watch", job_id, "--timeout", 0.02).code == 7
    assert state(store, job_id) is State.AVAILABLE


def test_logs_are_what_the_job_said(cli: Cli, store: Store) -> None:
    """Its log lines; with --all the whole record; --after goes on from a line."""
    worker = Worker(store)
    job_id = put(store)
    job = worker.take()
    for number in range(3):
        say(worker, job, Output.LOG, message="line", stream="log", number=number, text="two words")
    say(worker, job, Output.PROGRESS, percent=50, message="half way")

    said = cli("jobs", "logs", job_id).out.splitlines()
    assert [line[14:] for line in said] == [f'line number={n} text="two words"' for n in range(3)]

    whole = cli("jobs", "logs", "--all", job_id, "-o", "jsonl").jsonl
    assert [row["name"] for row in whole] == ["enqueue", "claim", "log", "log", "log", "progress"]
    assert cli("jobs", "logs", "--all", job_id, "-o", "json").json == whole
    assert cli("jobs", "logs", "--all", job_id, "--after", whole[3]["seq"], "-o", "ids").ids == [
        row["seq"] for row in whole[4:]
    ]
    assert "50% half way" in cli("jobs", "logs", "--all", job_id).out


def test_following_logs_of_a_job_that_runs(cli: Cli, store: Store) -> None:
    """--follow prints each line as it comes, and ends with the job."""
    worker = Worker(store)
    job_id = put(store)
    job = worker.take()

    def work() -> None:
        with closing(open_store(URL)) as other:
            for number in range(3):
                line = OutputLine(job_id, 1, Output.LOG, f'{{"message":"line {number}"}}')
                other.turn(worker.id, [], [line], None)
            other.turn(worker.id, [settled(job, Completed())], [], None)

    thread = threading.Thread(target=work)
    thread.start()
    ran = cli("jobs", "logs", "--follow", job_id)
    thread.join()
    said = [line.partition("  ")[2] for line in ran.out.splitlines()]
    assert (ran.code, said) == (0, ["line 0", "line 1", "line 2"])


def test_following_logs_ends_with_the_job(cli: Cli, store: Store) -> None:
    """--follow of a job that has ended prints what there is, and ends."""
    job_id = a_job_in(State.SUCCEEDED, store)
    ran = cli("jobs", "logs", "--follow", "--all", job_id, "-o", "jsonl")
    assert [row["name"] for row in ran.jsonl] == ["enqueue", "claim", "complete"]
