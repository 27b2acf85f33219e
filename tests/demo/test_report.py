"""The demo's last words: every job in a table, and by name what did not go as announced."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.demo.sights import Terminal, a_job, a_sight
from workhorse.demo.plan import Act
from workhorse.demo.report import Ended, Report, write_report
from workhorse.demo.workspace import Workspace
from workhorse.domain.job import Outcome, State
from workhorse.screen import width

FETCH = Ended(
    Act("fetch", "fails twice, then succeeds", says=lambda result: f"call {result}"),
    a_sight(
        a_job("fetch", State.SUCCEEDED, id=4, result=3), [Outcome.ERROR, Outcome.ERROR, Outcome.OK]
    ),
    None,
)
STUCK = Ended(
    Act("stuck", "hangs", state=State.FAILED),
    a_sight(
        a_job("stuck", State.FAILED, id=5, error={"message": "over its limit of 1.5 s\n" * 9}),
        [Outcome.TIMED_OUT],
    ),
    None,
)
WRONG = STUCK._replace(fault="it is failed, and should be succeeded")


@pytest.fixture
def work(workdir: Path) -> Workspace:
    work = Workspace(workdir / ".workhorse")
    work.root.mkdir()
    work.log.write_text("".join(f"line {n}\n" for n in range(100)) + "no \x1b[2J such module\n")
    return work


def written(report: Report, work: Workspace, *, tty: bool = False) -> str:
    out = Terminal(tty=tty)
    write_report(out, report, work)
    return out.written


def test_the_table_has_state_attempts_outcomes_and_duration(work: Workspace) -> None:
    """One row a job, under its titles; where there is no terminal nothing is cut."""
    text = written(Report([FETCH, STUCK], 7.9), work)
    titles, fetch, stuck = text.splitlines()[1:4]
    assert titles.split() == [
        *("job", "announced", "state", "attempts", "outcomes", "duration", "result")
    ]
    assert fetch.split("  ")[0] == " ✓ fetch"
    for cell in ("succeeded", "       3  error ×2, ok", "1.5 s", "call 3"):
        assert cell in fetch
    for cell in ("failed", "       1  timed_out", "500 ms", "over its limit of 1.5 s\\n" * 9):
        assert cell in stuck
    assert fetch.index("succeeded") == stuck.index("failed") == titles.index("state")


@pytest.mark.parametrize("columns", [40, 71, 72, 80, 120, 200])
def test_the_table_fits_the_terminal(
    columns: int, work: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line is cut where the terminal ends; a narrow one gets lines instead of columns."""
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NO_COLOR", "1")
    lines = written(Report([FETCH, STUCK], 7.9), work, tty=True).splitlines()
    table = lines[1 : lines.index("", 1)]
    assert all(width(line) < columns for line in table)
    for cell in ("fetch", "succeeded", "3", "error ×2, ok", "1.5 s", "timed_out"):
        assert any(cell in line for line in table), cell


def test_when_all_is_well_it_says_what_to_look_at(work: Workspace) -> None:
    """Exit 0; the store, the log and the next command are named as one would type them here."""
    report = Report([FETCH, STUCK], 7.9)
    text = written(report, work)
    assert report.exit_code == 0
    assert "✓ All 2 jobs ended as announced, in 7.9 s." in text
    assert "export WORKHORSE_DATABASE_URL=sqlite:///.workhorse/demo.db" in text
    assert "jobs show 4" in text
    assert ".workhorse/demo.log" in text


def test_a_job_that_ended_otherwise_is_named(work: Workspace) -> None:
    """Exit 1; the row is marked and the job is named with what went wrong, the others are not."""
    report = Report([FETCH, WRONG], 7.9)
    text = written(report, work)
    assert report.exit_code == 1
    assert "\n ✗ stuck: it is failed, and should be succeeded\n" in text
    assert "\n ✗ stuck  " in text
    assert "\n ✓ fetch  " in text
    assert "as announced, in" not in text
    assert ".workhorse/demo.log" in text


def test_of_a_bad_worker_the_end_of_its_log_is_shown(work: Workspace) -> None:
    """Exit 1 though each job ended well; what the log holds cannot drive the terminal."""
    report = Report([FETCH], 7.9, "it ended with exit code 3 before its jobs did")
    text = written(report, work)
    assert report.exit_code == 1
    assert "✗ worker: it ended with exit code 3 before its jobs did. The end of .workhorse" in text
    assert text.endswith("│ line 99\n   │ no \\x1b[2J such module\n")
    assert "line 50\n" not in text
