"""The demo's kinds: three that do real work on a project, five that meet trouble.

`workhorse worker --app workhorse.demo.app:app` runs them; the store is the one of the
environment (``WORKHORSE_DATABASE_URL``), like that of any other app.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from workhorse import Context, Retry, Workhorse
from workhorse.demo.checks import building, linting, testing
from workhorse.demo.workspace import project_copy

app = Workhorse()

SOON = Retry(max_attempts=4, base=0.8, factor=1.5, jitter=0.0)
ONCE = Retry(max_attempts=1)


@app.job(name="build", queue="checks", run="process", retry=ONCE, timeout=60)
def build(ctx: Context, project: Path, into: Path) -> dict[str, Any]:
    """Build a wheel and a source archive from a fresh copy of `project`; they stay in `into`."""
    with project_copy(project, into / f"build-{ctx.attempt}") as copy:
        ctx.progress(20, "wheel")
        wheel = building.build(copy, "build_wheel", into / "dist")
        ctx.progress(70, "source archive")
        sdist = building.build(copy, "build_sdist", into / "dist")
    ctx.log("built", wheel=wheel["name"], sdist=sdist["name"])
    return {"artifacts": [wheel, sdist]}


@app.job(name="test", queue="checks", run="process", retry=ONCE, timeout=60)
def test(ctx: Context, project: Path, into: Path) -> dict[str, Any]:
    """Run the tests of a fresh copy of `project` and return what became of each."""

    def heard(done: int, total: int, name: str) -> None:
        ctx.progress(100 * done / total, name.rpartition(".")[2])

    with project_copy(project, into / f"test-{ctx.attempt}") as copy:
        return testing.run_tests(copy, heard)


@app.job(name="lint", queue="checks", run="process", retry=ONCE, timeout=60)
def lint(ctx: Context, project: Path, into: Path) -> dict[str, Any]:
    """Lint a fresh copy of `project` and return the findings."""

    def heard(done: int, total: int, name: str) -> None:
        ctx.progress(100 * done / total, name)

    with project_copy(project, into / f"lint-{ctx.attempt}") as copy:
        return linting.lint_folder(copy, heard)


@app.job(name="fetch", queue="trouble", retry=SOON, timeout=30)
async def fetch(ctx: Context, failures: int) -> dict[str, Any]:
    """Stand for a call to a flaky service: it fails `failures` times, then answers."""
    ctx.progress(30, "asking")
    if ctx.attempt <= failures:
        raise ConnectionError("503 Service Unavailable")
    ctx.progress(100, "answered")
    return {"calls": ctx.attempt}


@app.job(name="stuck", queue="trouble", run="process", retry=ONCE, timeout=2.5)
def stuck(ctx: Context) -> None:
    """Hang, with a child process of its own that hangs too: the time limit must end both."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as child:
        ctx.log("started", pids=[os.getpid(), child.pid])
        ctx.progress(10, f"hangs, and so does its child process {child.pid}")
        time.sleep(600)


@app.job(name="render", queue="trouble", run="process", retry=SOON, timeout=60)
def render(ctx: Context, seconds: float) -> dict[str, Any]:
    """Work steadily for `seconds`. The demo kills the process of its first attempt."""
    ctx.log("started", pids=[os.getpid()])
    _steps(ctx, seconds, "frame")
    return {"frames": 40, "attempt": ctx.attempt}


@app.job(name="export", queue="trouble", run="process", retry=SOON, timeout=60)
def export(ctx: Context, seconds: float) -> dict[str, Any]:
    """Work steadily for `seconds`. The demo cancels it half-way."""
    _steps(ctx, seconds, "page")
    return {"pages": 40}


@app.job(name="remind", queue="trouble", retry=ONCE, timeout=30)
async def remind(text: str) -> dict[str, Any]:
    """Say something back, later."""
    return {"text": text}


def _steps(ctx: Context, seconds: float, word: str, count: int = 40) -> None:
    for step in range(1, count + 1):
        time.sleep(seconds / count)
        ctx.progress(100 * step / count, f"{word} {step} of {count}")
