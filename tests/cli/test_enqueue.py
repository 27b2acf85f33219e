"""`workhorse enqueue`: what it takes, what it refuses, how it waits."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.cli.conftest import URL, Cli
from tests.scenarios.facts import eventually
from tests.store.hands import ERROR, Worker
from workhorse.domain.job import Job, State
from workhorse.domain.outcome import AttemptOutcome, Completed
from workhorse.store.opening import open_store
from workhorse.store.protocol import JobFilter

pytestmark = pytest.mark.usefixtures("app")

X = '{"name":"x"}'


def jobs() -> list[Job]:
    with closing(open_store(URL)) as store:
        return store.list_jobs(JobFilter())


@contextmanager
def a_worker_that_says(outcome: AttemptOutcome, kind: str = "hello") -> Iterator[None]:
    """A worker beside the command that ends the first job it finds so."""

    def work() -> None:
        with closing(open_store(URL)) as store:
            worker = Worker(store, queues=["letters", "default"], kinds=[kind])
            (job,) = eventually(lambda: worker.claim(1), what="a job")
            worker.settle(job, outcome)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def test_a_job_is_enqueued_with_its_kinds_options(cli: Cli) -> None:
    """The kind's own queue and defaults hold; the answer says where the job is."""
    ran = cli("enqueue", "hello", X)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == "Job 1 (hello) is available in queue 'letters'.\n"
    (job,) = jobs()
    assert (job.args, job.queue, job.priority, job.timeout) == ('{"name":"x"}', "letters", 0, 3600)


def test_each_option_is_the_jobs(cli: Cli) -> None:
    """--queue, --priority, --delay, --timeout, --max-attempts and --unique reach the job."""
    options = {
        "--queue": "slow",
        "--priority": "high",
        "--delay": 60,
        "--timeout": 2.5,
        "--max-attempts": 7,
        "--unique": "k",
    }
    ran = cli("enqueue", "hello", X, *[word for pair in options.items() for word in pair])
    assert "is scheduled in queue 'slow'" in ran.out
    (job,) = jobs()
    assert (job.priority, job.timeout, job.max_attempts, job.unique) == (10, 2.5, 7, "k")
    assert job.run_at - job.enqueued_at == 60_000
    cli("enqueue", "hello", X, "--priority", "-3")
    assert jobs()[0].priority == -3


@pytest.mark.parametrize(
    "instant", ["2100-01-31T08:00:00Z", "2100-01-31T09:00+01:00", "2100-01-31 08:00Z"]
)
def test_a_job_for_an_instant(cli: Cli, instant: str) -> None:
    """--run-at takes a date and time with its zone."""
    ran = cli("enqueue", "hello", X, "--run-at", instant)
    assert "is scheduled in queue 'letters'" in ran.out
    assert jobs()[0].run_at == 4_105_065_600_000


def test_a_job_after_others(cli: Cli) -> None:
    """--after, as often as there are jobs to wait for."""
    first, second = cli("enqueue", "hello", X, "-o", "ids").ids, cli("enqueue", "refuse").code
    assert (first, second) == ([1], 0)
    ran = cli("enqueue", "hello", X, "--after", 1, "--after", 2)
    assert "is blocked in queue 'letters'" in ran.out
    assert list(jobs()[0].waits_for) == [1, 2]
    assert cli("enqueue", "hello", X, "--after", 99).code == 5


@pytest.mark.parametrize("none", ["none", "None"])
def test_a_job_without_a_time_limit(cli: Cli, none: str) -> None:
    """--timeout none: whatever its kind says."""
    assert cli("enqueue", "hello", X, "--timeout", none).code == 0
    assert jobs()[0].timeout is None


@pytest.mark.parametrize(
    ("output", "shown"), [("json", "{\n"), ("jsonl", '{"id": 1, '), ("ids", "1\n")]
)
def test_the_answer_in_each_shape(cli: Cli, output: str, shown: str) -> None:
    """-o json, jsonl and ids are for programs."""
    ran = cli("enqueue", "hello", X, "-o", output)
    assert ran.out.startswith(shown)
    if output != "ids":
        assert (ran.json["state"], ran.json["existing"]) == ("available", False)


def test_a_held_unique_key_gives_its_holder(cli: Cli) -> None:
    """A second job of the same key is not stored: the answer names the first."""
    cli("enqueue", "hello", X, "--unique", "k")
    ran = cli("enqueue", "hello", X, "--unique", "k")
    assert (ran.code, ran.out) == (0, "Job 1 (hello) is already available in queue 'letters'.\n")
    assert cli("enqueue", "hello", X, "--unique", "k", "-o", "json").json["existing"] is True
    assert len(jobs()) == 1


def test_an_idempotency_key_gives_its_job(cli: Cli) -> None:
    """However often a script is run: one job; the answer of the others names it."""
    words = ("enqueue", "hello", X, "--idempotency-key", "order-17")
    assert cli(*words, "-o", "json").json["existing"] is False
    assert cli("jobs", "cancel", 1).code == 0
    ran = cli(*words)
    assert (ran.code, ran.out) == (0, "Job 1 (hello) is already cancelled in queue 'letters'.\n")
    assert cli(*words, "-o", "json").json["existing"] is True
    assert len(jobs()) == 1
    assert "idempotency  order-17" in cli("jobs", "show", 1).out.splitlines()
    assert cli("jobs", "show", 1, "-o", "json").json["idempotency_keys"] == ["order-17"]


def test_arguments_come_from_stdin_or_a_file(cli: Cli, workdir: Path) -> None:
    """`-` and `@FILE` stand for what they hold; no arguments at all are an empty object."""
    (workdir / "args.json").write_text('{"name":"file"}')
    cli("enqueue", "hello", "-", stdin='{"name":\n"stdin"}')
    cli("enqueue", "hello", "@args.json")
    cli("enqueue", "refuse")
    assert [job.args for job in jobs()] == ["{}", '{"name":"file"}', '{"name":"stdin"}']


def test_arguments_as_an_editor_on_windows_leaves_them(cli: Cli, workdir: Path) -> None:
    """The mark of their encoding in front of them is none of them."""
    (workdir / "args.json").write_text('\ufeff{"name":"file"}\r\n', encoding="utf-8")
    assert cli("enqueue", "hello", "@args.json").code == 0
    assert cli("enqueue", "hello", "-", stdin='\ufeff{"name":"stdin"}\r\n').code == 0


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ("{name: x}", "The text is not JSON: key must be a string at line 1 column 2."),
        ('["x"]', "must be a JSON object of the kind's arguments by name."),
        ('{"name":NaN}', "The text is not JSON: "),
        ('{"name":"x","name":"y"}', "The key 'name' is given twice."),
        ('{"times":1' + "0" * 5000 + "}", "The text has an integer of over 1,000 digits."),
        ("[" * 100_000, "The text is nested deeper than 64 levels."),
        ("@nowhere.json", "nowhere.json cannot be read: No such file or directory."),
        ("-", "What was read from stdin is not JSON"),
        ("{}", "hello: args.name: missing"),
        ('{"name":"x","nam":1}', "hello: args.nam: unknown argument"),
        ('{"name":"x","times":"y"}', "hello: args.times: "),
        ('{"name":3,"times":"y"}', "args.name: input should be a valid string; args.times: "),
    ],
)
def test_arguments_that_do_not_fit_are_refused(cli: Cli, arguments: str, problem: str) -> None:
    """Exit 2, what is wrong and where, and nothing is stored."""
    ran = cli("enqueue", "hello", arguments)
    assert (ran.code, ran.out) == (2, "")
    assert problem in ran.err
    assert "Traceback" not in ran.err
    assert jobs() == []


def test_stdin_that_is_no_text_is_refused(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bytes that are not UTF-8 are told as such."""
    from workhorse.cli.start import run

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff"), encoding="utf-8"))
    assert run(["enqueue", "hello", "-"]) == 2
    assert "What was read from stdin is not UTF-8 text." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--priority", "urgent"], "'urgent' is not a priority. Use one of low, normal, high"),
        (["--priority", str(2**40)], "fit 32 bits"),
        (["--queue", "no such queue"], "'no such queue' cannot name a queue."),
        (["--delay", "-1"], "delay"),
        (["--delay", "nan"], "delay"),
        (["--timeout", "0"], "over 0 and at most 3153600000 seconds. No limit is None; on the"),
        (["--timeout", "nan"], "timeout"),
        (["--timeout", "never"], "--timeout: 'never' is neither a number of seconds nor none."),
        (
            ["--run-at", "2100-01-31T08:00"],
            "'--run-at': '2100-01-31T08:00' is no date and time with",
        ),
        (["--run-at", "tomorrow"], "such as 2030-01-31T08:00Z."),
        (["--run-at", "2100-01-31T08:00Z", "--delay", "5"], "Give delay or run_at, not both."),
        (["--after", "0"], "after takes handles or ids of jobs."),
        (["--max-attempts", "0"], "max_attempts"),
    ],
)
def test_options_that_make_no_sense_are_refused(cli: Cli, words: list[str], problem: str) -> None:
    """Exit 2, and nothing is stored."""
    ran = cli("enqueue", "hello", X, *words)
    assert (ran.code, ran.out) == (2, "")
    assert problem in ran.err
    assert jobs() == []


def test_an_unknown_kind_is_not_found(cli: Cli) -> None:
    """Exit 5; the nearest name when one is near, else those there are."""
    ran = cli("enqueue", "hallo", X)
    assert (ran.code, ran.out) == (5, "")
    assert "Did you mean 'hello'?" in ran.err
    assert "There are: hello, refuse." in cli("enqueue", "xyz").err
    assert jobs() == []


def test_without_an_app_it_says_how_to_name_one(cli: Cli, workdir: Path) -> None:
    """Exit 3, and the three ways to name it."""
    (workdir / "workhorse.toml").unlink()
    ran = cli("enqueue", "hello", X)
    assert ran.code == 3
    assert "--app module:attribute, set WORKHORSE_APP, or put app =" in ran.err
    assert cli("enqueue", "hello", X, "--app", "app:app").code == 0


@pytest.mark.parametrize(
    ("named", "hint"),
    [
        ("app.py:app", "A module is named without .py: app:app"),
        ("shop.jobs:app", "For src/shop, install the project (`pip install -e .`), or set PYTH"),
        ("errands:app", "For src/errands, install the project (`pip install -e .`), or set"),
        ("nowhere:app", "Looked in /"),
    ],
)
def test_a_module_that_is_not_found_is_told_how(
    cli: Cli, workdir: Path, named: str, hint: str
) -> None:
    """Exit 3; a file is no module, and one in src is found when it is installed."""
    (workdir / "src" / "shop").mkdir(parents=True)
    for file in ("shop/jobs.py", "errands.py"):
        (workdir / "src" / file).touch()
    ran = cli("enqueue", "hello", X, "--app", named)
    assert (ran.code, ran.out) == (3, "")
    assert ran.err.startswith("Error: There is no module ")
    assert hint in ran.err


def test_two_stores_are_one_too_many(cli: Cli, workdir: Path) -> None:
    """An app with a store of its own and a flag that names another: exit 3, nothing stored."""
    (workdir / "app.py").write_text(
        "from workhorse import Workhorse\napp = Workhorse('sqlite:///mine.db')\n"
    )
    ran = cli("enqueue", "hello", X, "--database-url", "sqlite:///other.db")
    assert ran.code == 3
    assert "keeps its jobs in sqlite:///mine.db, but --database-url says" in ran.err
    assert not (workdir / "mine.db").exists()


@pytest.mark.parametrize(
    ("outcome", "code", "state"),
    [(Completed('"Hi!"'), 0, "succeeded"), (ERROR, 1, "failed")],
)
def test_wait_tells_how_it_ended(cli: Cli, outcome: AttemptOutcome, code: int, state: str) -> None:
    """Exit 0 when it succeeded, else 1; the finished job is printed."""
    with a_worker_that_says(outcome):
        ran = cli("enqueue", "hello", X, "--wait", "-o", "json", "--max-attempts", 1)
    assert (ran.code, ran.json["state"]) == (code, state)


def test_wait_in_words(cli: Cli) -> None:
    """For people: how it ended, how long it took, and its result or what went wrong."""
    with a_worker_that_says(Completed('"Hi!"')):
        said = cli("enqueue", "hello", X, "--wait").out.splitlines()
    assert said[0].startswith("Job 1 succeeded in ")
    assert said[1:] == ['Result: "Hi!"']
    with a_worker_that_says(ERROR):
        said = cli("enqueue", "hello", X, "--wait", "--max-attempts", 1).out.splitlines()
    assert said[0].startswith("Job 2 failed in ")
    assert said[1:] == ["ValueError: it went wrong"]


def test_watch_shows_its_life(cli: Cli) -> None:
    """Every event is a line, then the end; for programs the lines go to stderr."""
    with a_worker_that_says(Completed('"Hi!"')):
        said = cli("enqueue", "hello", X, "--watch").out.splitlines()
    lives = ["enqueue", "claim attempt 1", "complete attempt 1 outcome=ok"]
    assert [line.partition("  ")[2] for line in said[:3]] == lives
    assert said[3].startswith("Job 1 succeeded in ")

    with a_worker_that_says(Completed('"Hi!"')):
        ran = cli("enqueue", "hello", X, "--watch", "-o", "json")
    assert ran.json["result"] == "Hi!"
    assert [line.partition("  ")[2] for line in ran.err.splitlines()] == lives


def test_patience_is_for_who_waits(cli: Cli) -> None:
    """--wait-timeout alone is wrong usage, and nothing is stored."""
    ran = cli("enqueue", "hello", X, "--wait-timeout", 5)
    assert ran.code == 2
    assert "--wait-timeout is for --wait or --watch" in ran.err
    assert jobs() == []


@pytest.mark.parametrize("how", ["--wait", "--watch"])
def test_patience_has_an_end(cli: Cli, how: str) -> None:
    """--wait-timeout: exit 7, and the job stays."""
    ran = cli("enqueue", "hello", X, how, "--wait-timeout", 0.05)
    assert ran.code == 7
    assert "Error: Job 1 is still available after 0.05 s." in ran.err
    assert [job.state for job in jobs()] == [State.AVAILABLE]


@pytest.mark.parametrize("how", ["--wait", "--watch"])
def test_waiting_for_nobody_is_said(cli: Cli, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while without a worker that could run the job, stderr says which to start, once."""
    monkeypatch.setattr("workhorse.cli.follow.QUIET", 0.05)
    ran = cli("enqueue", "hello", X, how, "--wait-timeout", 0.4)
    said = "No worker is alive: start one with `workhorse worker --queues letters`."
    assert ran.err.splitlines().count(said) == 1


def test_a_dead_worker_is_nobody(cli: Cli, monkeypatch: pytest.MonkeyPatch, workdir: Path) -> None:
    """One whose lease has run out is not waited for, though nobody has found it lost yet."""
    monkeypatch.setattr("workhorse.cli.follow.QUIET", 0.05)
    with closing(open_store(URL)) as store:
        Worker(store, queues=["letters"], kinds=["hello"], lease=0)
        ran = cli("enqueue", "hello", X, "--wait", "--wait-timeout", 0.3)
    assert "No worker is alive: start one with `workhorse worker --queues letters`." in ran.err


@pytest.mark.parametrize(
    ("queues", "kinds", "said"),
    [
        ("default", "hello", "serves queue 'letters': start one with `workhorse worker --queues"),
        ("letters", "other", "of queue 'letters' knows kind 'hello': deploy its code."),
    ],
)
def test_a_worker_that_will_not_run_it_is_told_apart(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, queues: str, kinds: str, said: str
) -> None:
    """One of other queues, or without the kind, is no help: what would be is said."""
    monkeypatch.setattr("workhorse.cli.follow.QUIET", 0.05)
    with closing(open_store(URL)) as store:
        Worker(store, queues=[queues], kinds=[kinds])
        ran = cli("enqueue", "hello", X, "--wait", "--wait-timeout", 0.3)
    assert f"No living worker {said}" in ran.err


def test_a_worker_at_hand_is_not_missed(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, workdir: Path
) -> None:
    """Nothing is said where a worker is only busy."""
    monkeypatch.setattr("workhorse.cli.follow.QUIET", 0.05)
    with closing(open_store(URL)) as store:
        Worker(store, queues=["letters"], kinds=["hello"])
        ran = cli("enqueue", "hello", X, "--wait", "--wait-timeout", 0.3)
    assert ran.code == 7
    assert "No worker" not in ran.err
