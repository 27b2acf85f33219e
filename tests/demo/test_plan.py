"""How the demo judges: what was announced of a job is held against what became of it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.demo.sights import a_job, a_sight
from workhorse.demo.plan import Act, acts
from workhorse.demo.workspace import sample_project
from workhorse.domain.job import Outcome, State

TEST_RESULT = {"passed": ["name"] * 13, "failed": [{"name": "tests.test_one"}], "skipped": []}


@pytest.fixture
def plan(tmp_path: Path) -> dict[str, Act]:
    return {act.kind: act for act in acts(sample_project(), tmp_path)}


def test_the_plan_has_the_checks_and_every_trouble(plan: dict[str, Act]) -> None:
    """Three checks; two failures and a success, a time-out, a crash, a cancel, a delay."""
    ends = {kind: (act.state.value, [o.value for o in act.outcomes]) for kind, act in plan.items()}
    assert ends == {
        "build": ("succeeded", ["ok"]),
        "test": ("succeeded", ["ok"]),
        "lint": ("succeeded", ["ok"]),
        "fetch": ("succeeded", ["error", "error", "ok"]),
        "stuck": ("failed", ["timed_out"]),
        "render": ("succeeded", ["crashed", "ok"]),
        "export": ("cancelled", ["cancelled"]),
        "remind": ("succeeded", ["ok"]),
    }
    assert plan["remind"].delay
    assert all(len(act.shows) <= 30 for act in plan.values())


@pytest.mark.parametrize(
    ("state", "outcomes", "fault"),
    [
        (State.SUCCEEDED, [Outcome.ERROR, Outcome.ERROR, Outcome.OK], None),
        (
            State.SUCCEEDED,
            [Outcome.ERROR, Outcome.OK],
            "its attempts ended error, ok, and should have ended error, error, ok",
        ),
        (State.CANCELLED, [], "it is cancelled, and should be succeeded"),
        (State.FAILED, [Outcome.ERROR] * 3, "it is failed, and should be succeeded"),
        (State.SCHEDULED, [Outcome.ERROR], "it has not ended: it is scheduled"),
    ],
)
def test_state_and_every_outcome_must_be_as_announced(
    state: State, outcomes: list[Outcome], fault: str | None, plan: dict[str, Act]
) -> None:
    """The right state by the wrong way is a fault too."""
    sight = a_sight(a_job("fetch", state, result={"calls": 3}), outcomes)
    assert plan["fetch"].fault(sight) == fault


@pytest.mark.parametrize(
    ("kind", "result", "fault"),
    [
        ("test", TEST_RESULT, None),
        ("test", {**TEST_RESULT, "failed": []}, "failed: 0, and should be 1"),
        ("test", {**TEST_RESULT, "passed": []}, "passed: 0, and should be 13"),
        ("lint", {"findings": [{}, {}]}, "findings: 2, and should be 1"),
    ],
)
def test_a_result_is_counted(
    kind: str, result: Any, fault: str | None, plan: dict[str, Act]
) -> None:
    """A check that found less, or more, than is in the sample project is a fault."""
    assert plan[kind].fault(a_sight(a_job(kind, State.SUCCEEDED, result=result))) == fault


def test_what_was_built_must_be_there(plan: dict[str, Act], tmp_path: Path) -> None:
    """An artifact that was returned lies where the job put it, whole."""
    artifact = {"name": "basket.whl", "size": 3}
    sight = a_sight(a_job("build", State.SUCCEEDED, result={"artifacts": [artifact]}))
    assert "basket.whl is not there" in str(plan["build"].fault(sight))
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / "basket.whl").write_bytes(b"zip")
    assert plan["build"].fault(sight) is None


def test_a_delayed_job_must_have_waited(plan: dict[str, Act]) -> None:
    """One that ran before it was due is a fault."""
    job = a_job("remind", State.SUCCEEDED, result={"text": "tea"})
    assert plan["remind"].fault(a_sight(job, after=4.0)) is None
    assert "before it was due" in str(plan["remind"].fault(a_sight(job, after=3.9)))


def test_nothing_of_a_timed_out_job_may_live(plan: dict[str, Act]) -> None:
    """The processes that it said it started are gone; one that lives on is named."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    job = a_job("stuck", State.FAILED, error={"message": "over its limit"})
    sight = a_sight(job, [Outcome.TIMED_OUT])
    assert plan["stuck"].fault(replace(sight, pids={1: [gone.pid]})) is None
    alive = replace(sight, pids={1: [gone.pid, os.getpid()]})
    assert plan["stuck"].fault(alive) == f"its processes [{os.getpid()}] are still alive"


def test_a_job_is_told_of_in_few_words(plan: dict[str, Act]) -> None:
    """A result is put in words, a failure by its reason, and one that has neither by its state."""
    built = {"artifacts": [{"name": "a.whl", "size": 2825}, {"name": "a.tar.gz", "size": 10}]}
    found = {"file": "a.py", "line": 5, "code": "F401", "message": "`json` imported but unused"}
    for kind, result, told in (
        ("build", built, "a.whl (2,825 bytes), a.tar.gz (10 bytes)"),
        ("test", TEST_RESULT, "13 passed, 1 failed: test_one"),
        ("test", {**TEST_RESULT, "failed": []}, "13 passed"),
        ("lint", {"findings": [found]}, "1 finding: a.py:5 F401 `json` imported but unused"),
        ("lint", {"findings": []}, "nothing found"),
        ("fetch", {"calls": 3}, "answered on call 3"),
        ("remind", {"text": "tea is ready"}, "tea is ready"),
    ):
        assert plan[kind].tells(a_job(kind, State.SUCCEEDED, result=result)) == told
    failed = a_job("stuck", State.FAILED, error={"message": "over its limit"})
    assert plan["stuck"].tells(failed) == "over its limit"
    assert plan["stuck"].tells(a_job("stuck", State.AVAILABLE)) == "available"
