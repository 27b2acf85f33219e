"""Run a project's unittest suite in a process of its own and read what became of each test."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_RUNNER = Path(__file__).with_name("unittest_lines.py")


class TestsDidNotRun(Exception):
    """The suite could not be run at all; the message is the end of what it said."""


def run_tests(folder: Path, heard: Callable[[int, int, str], None]) -> dict[str, Any]:
    """Run the tests under ``tests/`` of the project in `folder`.

    Calls `heard(done, total, name)` after each test. Returns the names of the tests under
    ``passed`` and ``skipped``, and under ``failed`` a ``name`` and ``message`` for each.
    """
    outcomes: dict[str, list[Any]] = {"passed": [], "failed": [], "skipped": []}
    command = [sys.executable, "-B", str(_RUNNER), "tests"]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None  # noqa: S101 - PIPE was asked for
        assert process.stderr is not None  # noqa: S101
        total = int(process.stdout.readline() or -1)
        for done, line in enumerate(process.stdout, start=1):
            test = json.loads(line)
            name = test["name"]
            entry = {"name": name, "message": test["message"]} if test["message"] else name
            outcomes[test["outcome"]].append(entry)
            heard(done, total, name)
        said = process.stderr.read()
    if total < 0 or process.returncode not in {0, 1}:
        raise TestsDidNotRun(said.strip()[-2000:] or f"the runner ended with {process.returncode}")
    return dict(outcomes)
