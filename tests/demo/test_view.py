"""The demo on the screen: a picture that fits any terminal, and plain lines where there is none."""

from __future__ import annotations

import re

import pytest

from tests.demo.sights import Terminal, a_job
from workhorse.demo.plan import Act
from workhorse.demo.view import LineView, LiveView, Scene, view_for
from workhorse.domain.job import State
from workhorse.screen import width

FETCH = Act("fetch", "fails twice, then succeeds")
TEST = Act("test", "14 tests", says=lambda result: f"{result} passed")


@pytest.fixture(autouse=True)
def a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    resize(monkeypatch, 80, 24)


def resize(monkeypatch: pytest.MonkeyPatch, columns: int, rows: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("LINES", str(rows))


def every_state() -> Scene:
    states = list(State)
    long = "the longest message a job has ever had to tell, " * 4
    return [
        (FETCH, a_job("fetch", state, id=id, progress=50, message=long, error={"message": long}))
        for id, state in enumerate(states)
    ]


@pytest.mark.parametrize("columns", [1, 20, 40, 71, 72, 80, 109, 110, 120, 300])
def test_no_line_is_wider_than_the_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that wrapped would break the picture: none reaches the terminal's last column."""
    resize(monkeypatch, columns, 24)
    out = Terminal()
    with LiveView(out) as view:
        view.note("render  its process 4711 got a kill -9")
        view.show(every_state())
        assert all(width(line) < columns or not line for line in out.shown)
        assert len(out.shown) > len(State)


@pytest.mark.parametrize("rows", [1, 2, 5, 10, 24])
def test_the_picture_is_no_higher_than_the_terminal(
    rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a low terminal the last lines are shown, and the count of ended jobs is the last."""
    resize(monkeypatch, 80, rows)
    out = Terminal()
    with LiveView(out) as view:
        view.show(every_state())
        assert len(out.shown) <= max(2, rows)
        assert "3 of 7 jobs ended" in out.shown[-2]


def test_the_picture_is_drawn_in_place() -> None:
    """A second look replaces the first; a longer line leaves nothing behind."""
    out = Terminal()
    with LiveView(out) as view:
        view.show([(TEST, a_job("test", message="a very long message", progress=30))])
        first = out.shown
        view.show([(TEST, a_job("test", State.SUCCEEDED, result=13, progress=30))])
        second = out.shown
    assert len(first) == len(second)
    assert "running    ███░░░░░░░  30 %  a very long message" in first[2]
    assert second[2] == " ✓ test    succeeded  ██████████ 100 %  13 passed"


def test_what_stays_is_the_title_and_what_the_demo_did() -> None:
    """Leaving the view takes the picture away and brings the cursor back."""
    out = Terminal()
    with LiveView(out) as view:
        view.show([(TEST, a_job("test"))])
        view.note("test    cancelled at 50 %")
        view.show([(TEST, a_job("test"))])
    assert out.written.count("\x1b[?25l") == 1
    assert out.written.endswith("\x1b[?25h")
    title, empty, note, end = out.shown
    assert title.startswith("Workhorse demo")
    assert note.endswith("test    cancelled at 50 %")
    assert (empty, end) == ("", "")


def test_an_interrupted_picture_stays() -> None:
    """After Ctrl-C one still sees how far the jobs were; the cursor is back all the same."""
    out = Terminal()
    view = LiveView(out).__enter__()
    view.show([(TEST, a_job("test", message="half way"))])
    view.__exit__(KeyboardInterrupt)
    assert "half way" in "\n".join(out.shown)
    assert out.written.endswith("\x1b[?25h")


def test_a_waiting_job_tells_when_and_why() -> None:
    """A job that is tried again says in how long, after what, and which attempt that was."""
    error = {"message": "503 \x1b[2J\nUnavailable"}
    due = a_job("fetch", State.SCHEDULED, attempt=2, error=error)
    out = Terminal()
    with LiveView(out) as view:
        view.show([(FETCH, due)])
        assert "attempt 2  in 0.0 s: 503 \\x1b[2J\\nUnav…" in out.shown[2]


def test_a_job_that_is_to_run_again_says_so() -> None:
    """Available once more, after a crash: not as if it had never run."""
    out = Terminal()
    with LiveView(out) as view:
        view.show([(FETCH, a_job("fetch", State.AVAILABLE, attempt=0))])
        assert out.shown[2].endswith(FETCH.shows)
        view.show([(FETCH, a_job("fetch", State.AVAILABLE, attempt=1))])
        assert out.shown[2].endswith("to run again")


def test_a_wide_terminal_has_room_for_what_was_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a job is to show stands beside it; on 80 columns it is there until the job speaks."""
    quiet, speaking = a_job("fetch"), a_job("fetch", message="asking")
    resize(monkeypatch, 120, 24)
    out = Terminal()
    with LiveView(out) as view:
        view.show([(FETCH, speaking)])
        assert FETCH.shows in out.shown[2]
        assert "asking" in out.shown[2]
        resize(monkeypatch, 80, 24)
        view.show([(FETCH, quiet)])
        assert FETCH.shows in out.shown[2]
        view.show([(FETCH, speaking)])
        assert FETCH.shows not in out.shown[2]


@pytest.mark.parametrize("colour", [True, False])
def test_no_color_is_kept(colour: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """States are coloured, unless NO_COLOR is set; then no colour at all is written."""
    if not colour:
        monkeypatch.setenv("NO_COLOR", "1")
    out = Terminal()
    with LiveView(out) as view:
        view.show([(TEST, a_job("test", State.SUCCEEDED, result=1))])
    assert ("\x1b[32m" in out.written) is colour
    assert bool(re.search(r"\x1b\[[\d;]*m", out.written)) is colour


@pytest.mark.parametrize(
    ("encoding", "tty", "term", "view"),
    [
        ("utf-8", True, "xterm", LiveView),
        ("utf-8", True, "dumb", LineView),
        ("utf-8", False, "xterm", LineView),
        ("ascii", True, "xterm", LineView),
    ],
)
def test_the_picture_needs_a_terminal_that_can_show_it(
    encoding: str, tty: bool, term: str, view: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe, a dumb terminal and one without our signs get lines."""
    monkeypatch.setenv("TERM", term)
    assert type(view_for(Terminal(encoding, tty=tty))) is view


def test_elsewhere_each_change_is_one_line() -> None:
    """A log shows each state and each attempt once, without a single escape."""
    out = Terminal(tty=False)
    with LineView(out) as view:
        for _ in range(3):
            view.show([(FETCH, a_job("fetch", State.AVAILABLE, attempt=0))])
        for attempt in (1, 1, 2):
            view.show([(FETCH, a_job("fetch", attempt=attempt, message="asking"))])
        view.note("fetch   cancelled at 50 %")
    title, *lines = out.written.splitlines()
    assert title == "Workhorse demo  one SQLite file, one supervised worker"
    assert [line.partition(" s  ")[2] for line in lines] == [
        "fetch   available  fails twice, then succeeds",
        "fetch   running    attempt 1",
        "fetch   running    attempt 2",
        "fetch   cancelled at 50 %",
    ]
