"""What is different on a real terminal: colour, a live bar, questions, Ctrl-C."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.cli.processes import CTRL_C, Terminal, workhorse
from tests.scenarios.facts import eventually
from tests.store.hands import OK, Worker, a_job_in, put, put_many, state, the
from workhorse.domain.events import Output, OutputLine
from workhorse.domain.job import Claimed, State
from workhorse.domain.outcome import Completed
from workhorse.store.protocol import Store

PATIENT = """
import asyncio
from workhorse import Context, Workhorse

app = Workhorse()


@app.job
async def work(ctx: Context) -> None:
    ctx.log("under way")
    await asyncio.sleep(SECONDS)
    print("done")
"""
WIPE = "\r\x1b[2K"
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def say(worker: Worker, job: Claimed, name: Output, **data: object) -> None:
    """Add one line to what a running job has said."""
    worker.turn(output=[OutputLine(job.id, job.attempt, name, json.dumps(data))])


def test_a_job_is_watched_live(store: Store, workdir: Path) -> None:
    """A bar that moves, log lines above it, then the bar is gone and the result stands there."""
    worker = Worker(store)
    job_id = put(store)
    with Terminal("jobs", "watch", job_id, folder=workdir) as terminal:
        terminal.until("enqueue")
        job = worker.take()
        say(worker, job, Output.PROGRESS, percent=40, message="copying")
        terminal.until(f"\x1b[36m{'█' * 12}{'░' * 18}\x1b[0m  40%  copying")
        say(worker, job, Output.LOG, message="a line", stream="log", files=3)
        terminal.until("a line files=3\r\n")
        say(worker, job, Output.PROGRESS, percent=100, message="done")
        terminal.until(f"{'█' * 30}\x1b[0m 100%  done")
        worker.settle(job, Completed('"copied"'))
        assert terminal.end() == 0
    bars = terminal.text.count("%")
    assert terminal.text.count(WIPE) >= bars - 1, "each bar is wiped away"
    last = terminal.text.rpartition(WIPE)[2].splitlines()
    assert last[0].endswith("complete attempt 1 outcome=ok")
    assert COLOUR.sub("", last[1]).startswith(f"Job {job_id} succeeded in ")
    assert last[2] == 'Result: "copied"'


def test_a_new_attempt_begins_with_no_bar(store: Store, workdir: Path) -> None:
    """What an attempt said of its progress ends with it."""
    worker = Worker(store)
    job_id = put(store)
    job = worker.take()
    say(worker, job, Output.PROGRESS, percent=90, message="nearly")
    with Terminal("jobs", "watch", job_id, folder=workdir) as terminal:
        terminal.until("nearly")
        store.retire(worker.id)
        assert terminal.until("release").text.partition("release")[2].count("nearly") == 0
        terminal.press(CTRL_C)
        assert terminal.end() == 130


@pytest.mark.parametrize("columns", [100, 20, 4])
def test_a_bar_fits_its_terminal(store: Store, workdir: Path, columns: int) -> None:
    """It never takes a second line, whatever the message: that could not be wiped."""
    worker = Worker(store)
    put(store)
    job = worker.take()
    say(worker, job, Output.PROGRESS, percent=50, message="日本語 " * 20)
    worker.settle(job, OK)
    with Terminal("jobs", "watch", job.id, folder=workdir, columns=columns) as terminal:
        assert terminal.end() == 0
    (bar,) = re.findall(r"\x1b\[36m.*?(?=\r\x1b\[2K)", terminal.text, flags=re.DOTALL)
    wide = len(re.findall(r"[日本語]", bar))
    assert len(COLOUR.sub("", bar)) + wide < columns


def test_ctrl_c_ends_the_watching_not_the_job(store: Store, workdir: Path) -> None:
    """Exit 130, and a word that the job goes on."""
    Worker(store)
    job_id = put(store)
    with Terminal("jobs", "watch", job_id, folder=workdir) as terminal:
        terminal.until("enqueue").press(CTRL_C)
        assert terminal.end() == 130
    assert f"Job {job_id} goes on: `workhorse jobs watch {job_id}` shows it." in terminal.text
    assert "Traceback" not in terminal.text
    assert state(store, job_id) is State.AVAILABLE


def test_colour_is_for_terminals(store: Store, workdir: Path) -> None:
    """States have their colour and the title is bold; NO_COLOR, a dumb terminal and a pipe not."""
    a_job_in(State.SUCCEEDED, store, queue="succeeded")
    list_ = ("jobs", "list")
    with Terminal(*list_, folder=workdir) as terminal:
        assert terminal.end() == 0
    assert terminal.text.startswith("\x1b[1mID")
    assert terminal.text.count("\x1b[32msucceeded\x1b[0m") == 1, "the queue of that name has none"
    for environment in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        with Terminal(*list_, folder=workdir, environment=environment) as terminal:
            assert terminal.end() == 0
        assert "\x1b" not in terminal.text
    assert "\x1b" not in workhorse(*list_, folder=workdir).out


def test_a_dumb_terminal_has_no_bar(store: Store, workdir: Path) -> None:
    """Progress is a line like any other where a line cannot be wiped."""
    worker = Worker(store)
    put(store)
    job = worker.take()
    say(worker, job, Output.PROGRESS, percent=50, message="half way")
    worker.settle(job, OK)
    dumb = {"TERM": "dumb"}
    with Terminal("jobs", "watch", job.id, folder=workdir, environment=dumb) as terminal:
        assert terminal.end() == 0
    assert "  50% half way\r\n" in terminal.text
    assert "\x1b" not in terminal.text


def test_a_table_fits_its_terminal(store: Store, workdir: Path) -> None:
    """The last column is cut, with an ellipsis; in a pipe it is whole."""
    job_id = put(store)
    store.cancel(job_id, reason="because " * 30)
    with Terminal("jobs", "list", folder=workdir, columns=120) as terminal:
        assert terminal.end() == 0
    lines = [COLOUR.sub("", line) for line in terminal.text.splitlines()]
    assert max(map(len, lines)) == 120
    assert lines[1].endswith("…")
    assert "because " * 29 in workhorse("jobs", "list", folder=workdir).out


def test_a_table_on_a_terminal_that_is_too_narrow(store: Store, workdir: Path) -> None:
    """Each column has its title all the same."""
    store.cancel(put(store), reason="because " * 30)
    with Terminal("jobs", "list", folder=workdir, columns=20) as terminal:
        assert terminal.end() == 0
    title, line = [COLOUR.sub("", line) for line in terminal.text.splitlines()]
    assert title.split()[-1] == "NOTE"
    assert line.endswith(" Can…")


def test_what_a_job_says_cannot_drive_the_terminal(store: Store, workdir: Path) -> None:
    """Neither in a bar, nor in a line, nor in a result: the title of the window stays."""
    worker = Worker(store)
    put(store)
    job = worker.take()
    nasty = "\x1b]0;owned\x07\x9b31m"
    say(worker, job, Output.PROGRESS, percent=50, message=nasty)
    say(worker, job, Output.LOG, message=nasty, stream="log")
    worker.settle(job, Completed(json.dumps(nasty)))
    with Terminal("jobs", "watch", job.id, folder=workdir) as terminal:
        assert terminal.end() == 0
    assert terminal.text.count("owned") >= 3
    assert not re.search(r"\x1b\]|\x07|\x9b", terminal.text)


@pytest.mark.parametrize(
    ("answer", "code", "after"), [("y\n", 0, State.CANCELLED), ("n\n", 130, State.AVAILABLE)]
)
def test_many_are_asked_about(
    store: Store, workdir: Path, answer: str, code: int, after: State
) -> None:
    """On a terminal a change of many asks first; `no` changes nothing."""
    ids = put_many(store, 3)
    with Terminal("jobs", "cancel", "--all", folder=workdir) as terminal:
        terminal.until("Cancel 3 jobs? [y/N]: ").press(answer)
        assert terminal.end() == code
    assert ("Nothing was changed." in terminal.text) == bool(code)
    assert [state(store, job_id) for job_id in ids] == [after] * 3


def test_one_by_its_id_is_not_asked_about(store: Store, workdir: Path) -> None:
    """Who names a job means it."""
    job_id = put(store)
    with Terminal("jobs", "cancel", job_id, folder=workdir) as terminal:
        assert terminal.end() == 0
    assert state(store, job_id) is State.CANCELLED


@pytest.mark.parametrize("wanted", [State.SUCCEEDED, State.AVAILABLE], ids=["short", "long"])
def test_a_worker_whose_terminal_is_closed(store: Store, workdir: Path, wanted: State) -> None:
    """It drains: what can end within its grace ends, the rest is given back; nothing is charged."""
    seconds = 3 if wanted is State.SUCCEEDED else 60
    (workdir / "patient.py").write_text(PATIENT.replace("SECONDS", str(seconds)))
    job = put(store)
    grace = ("--shutdown-timeout", "10" if wanted is State.SUCCEEDED else "0.5")
    with Terminal("worker", "--app", "patient:app", *grace, folder=workdir) as terminal:
        terminal.until("worker started")
        eventually(lambda: "log" in [event.name for event in store.events(job_id=job)])
        assert terminal.hang_up() == 0
    found = the(store, job)
    assert (found.state, found.failures, found.lost) == (wanted, 0, 0)
