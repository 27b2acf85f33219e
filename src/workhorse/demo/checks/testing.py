"""Run a project's unittest suite in a process of its own and read what became of each test."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
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
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said,
        subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=said, text=True
        ) as process,
    ):
        assert process.stdout is not None
        total = int(process.stdout.readline() or -1)
        for done, line in enumerate(process.stdout, start=1):
            test = json.loads(line)
            name = test["name"]
            entry = {"name": name, "message": test["message"]} if test["message"] else name
            outcomes[test["outcome"]].append(entry)
            heard(done, total, name)
        code = process.wait()
        if total < 0 or code not in {0, 1}:
            said.seek(0)
            raise TestsDidNotRun(said.read().strip()[-2000:] or f"the runner ended with {code}")
    return dict(outcomes)
