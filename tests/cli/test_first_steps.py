"""The first five minutes, as a newcomer types them: real processes in an empty folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.processes import PATIENCE, WORKHORSE, kept, running, workhorse
from tests.store.hands import put
from workhorse.domain.job import State
from workhorse.store.opening import open_store
from workhorse.store.protocol import JobFilter

BROKEN = """
from workhorse import Workhorse

app = Workhorse()


def licence():
    with open("/etc/example.key") as file:
        return file.read()


licence()
"""

NAMES_ITS_STORE = """
from workhorse import Workhorse

app = Workhorse("sqlite:///mine.db")


@app.job
def hello() -> None: ...
"""


@pytest.fixture
def begun(workdir: Path) -> Path:
    """A folder in which `workhorse init` was run."""
    ran = workhorse("init", folder=workdir)
    assert (ran.code, ran.err) == (0, "")
    assert "workhorse worker" in ran.out
    return workdir


@pytest.fixture
def at_work(begun: Path) -> Iterator[Path]:
    """The same, with a worker that was started as `init` says."""
    with running("worker", folder=begun):
        yield begun


def jobs(file: Path) -> list[State]:
    """Return the state of every job in a store."""
    with closing(open_store(f"sqlite:///{file}")) as store:
        return [job.state for job in store.list_jobs(JobFilter())]


def test_a_job_enqueued_after_init_succeeds(at_work: Path) -> None:
    """init, worker, enqueue --wait: the job that is printed has succeeded, and the exit code is 0.

    What is refused on the way leaves no trace: a kind there is not (5, with the nearest name), an
    argument that does not fit (2, with its name).
    """
    ran = workhorse("enqueue", "hello", '{"name":"x"}', "--wait", "-o", "json", folder=at_work)
    assert ran.code == 0, ran.err
    job = ran.json
    assert (job["state"], job["result"], job["attempt"]) == ("succeeded", "Hello, x!", 1)

    ran = workhorse("enqueue", "helo", '{"name":"x"}', folder=at_work)
    assert (ran.code, ran.out) == (5, "")
    assert ran.err == "Error: There is no kind 'helo' in this app. Did you mean 'hello'?\n"

    ran = workhorse("enqueue", "hello", '{"name":3}', folder=at_work)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == "Error: hello: args.name: input should be a valid string\n"

    assert jobs(at_work / ".workhorse" / "jobs.db") == [State.SUCCEEDED]


def test_an_app_that_cannot_be_imported_is_one_framed_error(workdir: Path) -> None:
    """A broken app: exit 3, and one frame with the user's own lines and the real cause, once."""
    (workdir / "app.py").write_text(BROKEN)
    framed = [
        "╭─ Error: The app 'app:app' cannot be imported.",
        f'│   File "{workdir}/app.py", line 12, in <module>',
        f'│   File "{workdir}/app.py", line 8, in licence',
        "│ FileNotFoundError: [Errno 2] No such file or directory: '/etc/example.key'",
        "╰─ `python -c 'import app'` shows the whole traceback.",
    ]
    for command in (["enqueue", "hello"], ["worker", "--restart-delay", "0"]):
        ran = workhorse(*command, folder=workdir, WORKHORSE_APP="app:app")
        assert (ran.code, ran.out) == (3, "")
        said = [line for line in ran.err.splitlines() if not line.startswith("{")]
        assert said == framed


def test_a_worker_whose_folder_is_deleted_ends(workdir: Path) -> None:
    """Its next child cannot import the app from there: exit 3, and the reason in words, once."""
    release, url = workdir / "release", f"sqlite:///{workdir}/jobs.db"
    release.mkdir()
    assert workhorse("init", folder=release).code == 0
    flags = ["--max-jobs", "1", "--restart-delay", "0", "--database-url", url]
    with subprocess.Popen(
        [*WORKHORSE, "worker", *flags], cwd=release, stderr=subprocess.PIPE, text=True
    ) as worker:
        try:
            assert worker.stderr is not None
            assert "worker started" in worker.stderr.readline()
            shutil.rmtree(release)
            with closing(open_store(url)) as store:
                put(store, kind="hello", args='{"name":"x"}')
            _, said = worker.communicate(timeout=PATIENCE)
        finally:
            worker.kill()
    shown = [line for line in said.splitlines() if not line.startswith("{")]
    told = "Error: The current folder was deleted. Change into one that is there."
    assert (worker.returncode, shown) == (3, [told])
    assert jobs(workdir / "jobs.db") == [State.SUCCEEDED]


@pytest.mark.parametrize("command", [["enqueue", "hello"], ["worker"]])
def test_a_store_in_an_unwritable_place_is_one_line(begun: Path, command: list[str]) -> None:
    """No folder can be made in /proc: exit 4, and one line that names the place."""
    words = [*command, "--database-url", "sqlite:////proc/nowhere/jobs.db"]
    words += ['{"name":"x"}'] if "hello" in command else []
    ran = workhorse(*words, folder=begun)
    assert (ran.code, ran.out) == (4, "")
    assert ran.err == "Error: Cannot use /proc/nowhere/jobs.db: No such file or directory.\n"


@pytest.mark.needs("linux")
@pytest.mark.parametrize("path", ["jobs.db", "deep/er/jobs.db"])
def test_a_folder_that_this_user_may_not_write_in_is_named(workdir: Path, path: str) -> None:
    """Exit 4, in one line with what to do; no file is there whose owner could be asked for."""
    ran = kept(*WORKHORSE, "migrate", "--database-url", f"sqlite:///{path}", mode=0o500)
    folder = workdir / "kept"
    told = f"Error: Cannot use {folder / path}: Permission denied in the folder {folder}. "
    told += "Let this user write there, run as one who may, or keep the store elsewhere.\n"
    assert (ran.code, ran.out, ran.err) == (4, "", told)


def test_a_worker_of_two_stores_runs_no_job(workdir: Path) -> None:
    """An app that names one store, and a flag, a variable or a file another: exit 3, in words.

    `enqueue` and `doctor` say the same; the job stays where it is. Two spellings of one store are
    one.
    """
    (workdir / "app.py").write_text(NAMES_ITS_STORE)
    flag = ["--app", "app:app"]
    other = "sqlite:///other.db"
    assert workhorse("enqueue", "hello", *flag, folder=workdir).code == 0
    says = "Error: The app 'app:app' keeps its jobs in sqlite:///mine.db, but {} says {}. "
    says += "Name the store in one of the two places only.\n"

    for command in (["worker", "--burst"], ["enqueue", "hello"]):
        ran = workhorse(*command, *flag, "--database-url", other, folder=workdir)
        assert (ran.code, ran.out, ran.err) == (3, "", says.format("--database-url", other))
    ran = workhorse("worker", *flag, folder=workdir, WORKHORSE_DATABASE_URL=other)
    assert (ran.code, ran.err) == (3, says.format("WORKHORSE_DATABASE_URL", other))
    (workdir / "workhorse.toml").write_text(f'database_url = "{other}"\n')
    ran = workhorse("worker", *flag, folder=workdir)
    assert (ran.code, ran.err) == (3, says.format("workhorse.toml:database_url", other))
    assert jobs(workdir / "mine.db") == [State.AVAILABLE]
    assert not (workdir / "other.db").exists()

    same = f"sqlite:///{workdir}/mine.db"
    assert workhorse("worker", "--burst", *flag, "--database-url", same, folder=workdir).code == 0
    assert jobs(workdir / "mine.db") == [State.SUCCEEDED]


def test_the_app_that_init_writes_enqueues_by_itself(begun: Path) -> None:
    """`python app.py` puts its job where the worker looks: where workhorse.toml says."""
    settings = begun / "workhorse.toml"
    settings.write_text(settings.read_text().replace(".workhorse/jobs.db", "elsewhere.db"))
    said = subprocess.run(
        [sys.executable, "app.py"], cwd=begun, capture_output=True, text=True, check=True
    )
    assert "Job 1 is queued" in said.stdout
    assert jobs(begun / "elsewhere.db") == [State.AVAILABLE]


def test_files_named_like_standard_modules(begun: Path) -> None:
    """They are the user's own affair: the worker runs on Python's, a `run="process"` job too."""
    for name in ("copy", "inspect", "json", "random", "select", "signal", "string", "token"):
        (begun / f"{name}.py").write_text("raise ImportError('not the standard one')\n")
    with (begun / "app.py").open("a") as app:
        app.write("\n\n@app.job(run='process')\ndef apart() -> None: ...\n")
    script = [sys.executable, "-P", "-m", "workhorse"]
    for words in (
        ["enqueue", "hello", '{"name":"x"}'],
        ["enqueue", "apart"],
        ["worker", "--burst"],
    ):
        subprocess.run(
            [*script, *words], cwd=begun, check=True, timeout=PATIENCE, stdin=subprocess.DEVNULL
        )
    assert jobs(begun / ".workhorse" / "jobs.db") == [State.SUCCEEDED] * 2
