"""Log lines: JSON for machines, pretty for people, and who a line is about."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, MutableMapping
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import structlog

from tests.cli.processes import Terminal, workhorse
from workhorse import Workhorse, logs

APP = """
from workhorse import Context, Workhorse

app = Workhorse()


@app.job(queue="builds")
def build(ctx: Context, password: str) -> str:
    return "built with " + password


@app.job(retry=1)
async def broken() -> None:
    raise ValueError("out of paper")
"""

OPINIONATED = """
import structlog

def tenant(logger, name, line):  # the app's own rule: each of its lines names a tenant
    return {**line, "tenant": line["tenant"]}

structlog.configure(
    processors=[tenant, structlog.processors.JSONRenderer()],
    logger_factory=structlog.PrintLoggerFactory(),
)
structlog.get_logger().info("of the app", tenant="acme")
"""


@pytest.fixture
def jobs(workdir: Path) -> Path:
    """A folder with an app, and two jobs that wait for a worker."""
    (workdir / "jobs.py").write_text(APP)
    (workdir / "workhorse.toml").write_text('app = "jobs:app"\nqueues = ["builds", "default"]\n')
    app = Workhorse("sqlite:///.workhorse/jobs.db")

    @app.job(queue="builds")
    def build(password: str) -> str:
        return password

    broken = app.job(name="broken")(lambda: None)
    build.enqueue("hunter2")
    broken.using(max_attempts=1).enqueue()
    app.close()
    return workdir


def test_every_line_of_a_job_says_which(jobs: Path) -> None:
    """Job, attempt and worker, how long it took and what went wrong; never what it was given."""
    ran = workhorse("worker", "--burst", folder=jobs)
    assert ran.code == 0, ran.err
    lines = [json.loads(line) for line in ran.err.splitlines()]
    assert all({"timestamp", "level", "event"} <= line.keys() for line in lines)
    ended = {line["job_id"]: line for line in lines if line["event"] == "job ended"}
    facts = ("kind", "queue", "attempt", "outcome", "state", "level")
    assert [ended[1][fact] for fact in facts] == ["build", "builds", 1, "ok", "succeeded", "info"]
    assert [ended[2][fact] for fact in facts[:5]] == ["broken", "default", 1, "error", "failed"]
    assert ended[2]["error"] == "ValueError: out of paper"
    for line in ended.values():
        assert line["worker"] == 1
        assert 0 <= line["duration"] < 30
        assert "exception" not in line
    assert "hunter2" not in ran.err


def test_an_app_that_configures_structlog_has_its_own_lines_only(jobs: Path) -> None:
    """The worker's come out as they do without it, and no rule of the app's breaks an attempt."""
    (jobs / "jobs.py").write_text(APP + OPINIONATED)
    ran = workhorse("worker", "--burst", folder=jobs)
    assert ran.code == 0, ran.err
    lines = [json.loads(line) for line in ran.err.splitlines()]
    assert {line["job_id"] for line in lines if line["event"] == "job ended"} == {1, 2}
    assert all({"timestamp", "level"} <= line.keys() for line in lines)
    assert [json.loads(line) for line in ran.out.splitlines()] == [
        {"event": "of the app", "tenant": "acme"}
    ]


@pytest.mark.parametrize("colour", [True, False])
def test_lines_on_a_terminal_are_for_people(jobs: Path, *, colour: bool) -> None:
    """Pretty without being asked; in colour only where that is wanted."""
    environment = {} if colour else {"NO_COLOR": "1"}
    with Terminal("worker", "--burst", folder=jobs, columns=300, environment=environment) as worker:
        worker.until("job ended")
        assert worker.end() == 0
    assert '{"' not in worker.text
    assert ("\x1b[" in worker.text) is colour
    assert "out of paper" in worker.text


# ── in this process ─────────────────────────────────────────────────────────────────────────


@pytest.fixture
def configured() -> Iterator[None]:
    """Put logging back as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    logs._log.configured = None


@pytest.mark.usefixtures("configured")
class TestConfigured:
    def lines(self, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
        captured = capsys.readouterr()
        assert captured.out == ""
        return [json.loads(line) for line in captured.err.splitlines()]

    def test_auto_is_json_away_from_a_terminal(self, capsys: pytest.CaptureFixture[str]) -> None:
        """One object a line, with what was bound and what was said; an app's as ours."""
        logs.configure()
        for ours in (logs.log, structlog.get_logger()):
            ours.bind(worker=7).info("job ended", job_id=3)
        for line in self.lines(capsys):
            assert line.pop("timestamp").endswith("Z")
            assert line == {"event": "job ended", "level": "info", "worker": 7, "job_id": 3}

    @pytest.mark.parametrize("level", logs.LEVELS)
    def test_only_the_level_and_above_are_written(
        self, capsys: pytest.CaptureFixture[str], level: str
    ) -> None:
        """For our lines and for those of the standard library alike."""
        logs.configure(level, "json")
        ours, theirs = logs.log, logging.getLogger("library")
        for name in logs.LEVELS:
            getattr(ours, name)("ours")
            getattr(theirs, name)("theirs")
        wanted = list(logs.LEVELS)[list(logs.LEVELS).index(level) :]
        lines = self.lines(capsys)
        for event in ("ours", "theirs"):
            assert [line["level"] for line in lines if line["event"] == event] == wanted

    def test_lines_of_libraries_come_out_the_same_way(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """With the logger's name, the message put together, and a traceback as one text."""
        logs.configure(format="json")
        try:
            raise ValueError("no")
        except ValueError:
            logging.getLogger("library").exception("it %s", "broke")
        (line,) = self.lines(capsys)
        assert (line["event"], line["logger"], line["level"]) == ("it broke", "library", "error")
        assert "ValueError: no" in line["exception"]

    @pytest.mark.parametrize("look", ["json", "pretty"])
    def test_any_value_can_be_logged(self, capsys: pytest.CaptureFixture[str], look: str) -> None:
        """What is not text is written as text; odd text forges no line and steers no terminal."""
        logs.configure(format=look)
        logs.log.warning("a\nb", path=Path("/a"), odd="\x1b[31m\0", many={1, 2}, no=None)
        text = capsys.readouterr().err
        assert text.count("\n") == 1
        assert "/a" in text
        assert "\x1b[31m" not in text
        if look == "json":
            assert json.loads(text)["event"] == "a\nb"

    def test_configuring_again_replaces(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Twice is once: no line comes out two times."""
        logs.configure()
        logs.configure()
        logging.getLogger("library").warning("once")
        assert len(self.lines(capsys)) == 1

    def test_a_line_that_cannot_be_written_is_dropped(self) -> None:
        """Who logs goes on: the stream may be closed, or a value not be fit to be shown."""
        stream = StringIO()
        logs.configure(format="json", stream=stream)
        logs.log.info("odd", value=Odd())
        assert stream.getvalue() == ""
        stream.close()
        logs.log.info("too late")

    def test_a_rule_of_an_app_that_breaks_breaks_its_own_lines_only(self) -> None:
        """In a process of its own, where nothing was configured, our lines go where its go."""
        structlog.configure(processors=[tenant_of])
        logs.log.warning("ours")
        logs.log.bind(tenant="acme").warning("ours")
        with pytest.raises(KeyError):
            structlog.get_logger().warning("its own")
        assert SEEN == ["acme"]


SEEN: list[str] = []


def tenant_of(_: object, __: str, line: MutableMapping[str, Any]) -> str:
    """Return what an app's lines have."""
    SEEN.append(line["tenant"])
    return SEEN[-1]


class Odd:
    def __repr__(self) -> str:
        raise ValueError("nothing to be shown")
