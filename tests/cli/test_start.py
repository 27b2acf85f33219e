"""How the program starts and ends: fast, with a documented code, and in words."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.cli.processes import PATIENCE, WORKHORSE, kept, workhorse
from tests.store.hands import put, put_many
from workhorse import bootstrap
from workhorse.cli import menu
from workhorse.cli.start import report
from workhorse.domain import errors
from workhorse.domain.job import State
from workhorse.store.opening import DRIVER
from workhorse.store.protocol import JobFilter, Store

ROOT = Path(__file__).parents[2]
LOADED = """
import sys
before = set(sys.modules)
from workhorse.__main__ import main
try:
    main()
finally:
    print(*sorted(set(sys.modules) - before), file=sys.stderr)
"""
SLOW = {"asyncio", "multiprocessing", "subprocess", "concurrent", "email", "http", "ssl"}


def loaded_by(words: Sequence[str], folder: Path) -> set[str]:
    """Return every module that a command has loaded by its end."""
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stderr.splitlines()[-1].split())


def third_party(modules: set[str]) -> set[str]:
    tops = {name.partition(".")[0] for name in modules}
    return {name for name in tops if name not in sys.stdlib_module_names} - {"workhorse"}


def test_help_loads_next_to_nothing(workdir: Path) -> None:
    """`workhorse --help` starts fast: no library, no database, and five small modules of ours."""
    loaded = loaded_by(["--help"], workdir)
    assert third_party(loaded) == set()
    assert not loaded & (SLOW | {"sqlite3", "inspect", "pathlib", "tempfile"})
    ours = {name for name in loaded if name.startswith("workhorse.")}
    assert ours == {
        *("workhorse.__main__", "workhorse.cli", "workhorse.cli.menu", "workhorse.cli.start"),
        *("workhorse.domain", "workhorse.domain.errors", "workhorse.screen"),
    }


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("words", [["health"], ["health", "-o", "json", "--app", "no:app"]])
def test_a_probe_loads_only_the_store(words: list[str], workdir: Path) -> None:
    """`workhorse health` of a configured store loads that store: no library, no app, no engine.

    Of that only what tells who holds a worker's file.
    """
    loaded = loaded_by(words, workdir)
    assert third_party(loaded) == set()
    assert not loaded & (SLOW | {"workhorse.app", "workhorse.settings"})
    engine = {name for name in loaded if name.startswith("workhorse.engine")}
    assert engine == {"workhorse.engine", "workhorse.engine.locks"}
    assert "workhorse.store.sqlite.health" in loaded


def test_the_driver_that_is_to_be_installed_is_that_of_the_extra() -> None:
    """What a hint says and what the project says are the same."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["optional-dependencies"]["postgres"] == [DRIVER]


WITHOUT_DRIVER = """
import sys
sys.modules["psycopg"] = None
from workhorse.__main__ import main
main()
"""


@pytest.mark.parametrize("words", [["jobs", "list"], ["migrate"], ["migrate", "--sql"], ["health"]])
def test_a_driver_that_is_not_installed(words: list[str], workdir: Path) -> None:
    """Exit 3, and what to install, as a package and from a clone; a store on SQLite needs none."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_DRIVER, *words],
        cwd=workdir,
        env=os.environ | {"WORKHORSE_DATABASE_URL": "postgresql://localhost/shop"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (3, "")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    assert f"pip install '{extras['postgres'][0]}'" in done.stderr
    assert "pip install '.[postgres]'" in done.stderr


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.usefixtures("store", "app")
def test_streams_that_the_caller_has_closed(store: Store, workdir: Path, closed: str) -> None:
    """The work is done all the same, and nothing that is opened stands in their place."""
    work = ["worker", "--burst", "--queues", "letters"]
    for words in (["enqueue", "hello", '{"name":"x"}'], work, ["jobs", "list"]):
        shell = ["sh", "-c", f'exec "$@" {closed}', "sh", *WORKHORSE, *words]
        done = subprocess.run(
            shell, cwd=workdir, stdin=subprocess.DEVNULL, timeout=PATIENCE, check=False
        )
        assert done.returncode == 0, words
    assert [job.state for job in store.list_jobs(JobFilter())] == [State.SUCCEEDED]


def test_every_error_has_a_documented_exit_code() -> None:
    """No error ends the program with a code that the help page does not explain."""
    tree = [errors.WorkhorseError]
    for kind in tree:
        tree += kind.__subclasses__()
        assert kind.exit_code in menu.EXIT_CODES, kind


def test_what_cannot_be_printed_ends_in_words(store: Store, workdir: Path) -> None:
    """A full disk behind stdout is one line, not a traceback."""
    put(store)
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*WORKHORSE, "jobs", "list"],
            cwd=workdir,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 70
    assert done.stderr == "Error: The output cannot be written: No space left on device.\n"


@pytest.mark.parametrize("lines", [0, 1])
def test_a_reader_that_goes_away_ends_it_quietly(store: Store, workdir: Path, lines: int) -> None:
    """`workhorse jobs list | head`: exit 141 as other programs do, and nothing on stderr."""
    put_many(store, 500 * lines + 1)
    process = subprocess.Popen(
        [*WORKHORSE, "jobs", "list", "--limit", "1000", "-o", "jsonl"],
        cwd=workdir,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        for _ in range(lines):
            assert process.stdout.readline()
        process.stdout.close()
        assert (process.wait(PATIENCE), process.stderr.read()) == (141, "")


@pytest.mark.usefixtures("app")
def test_what_an_app_prints_as_it_is_imported_is_no_output(workdir: Path) -> None:
    """It goes to stderr: a program reads JSON, and a reader that went away is none of the app's."""
    app = workdir / "app.py"
    app.write_text(f'print("importing", flush=True)\n{app.read_text()}')
    ran = workhorse("enqueue", "hello", '{"name":"x"}', "-o", "json", folder=workdir)
    assert (ran.json["state"], ran.err) == ("available", "importing\n")

    gone, stdout = os.pipe()
    os.close(gone)
    with os.fdopen(stdout, "w") as pipe:
        words = [*WORKHORSE, "enqueue", "hello", '{"name":"x"}', "-o", "jsonl"]
        done = subprocess.run(
            words, cwd=workdir, stdout=pipe, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (141, "importing\n")


def test_a_terminal_that_knows_only_ascii(store: Store, workdir: Path) -> None:
    """Letters that the encoding lacks are printed as escapes; JSON stays JSON."""
    job_id = put(store, args='{"name":"Zoë"}')
    ran = workhorse("jobs", "show", job_id, folder=workdir, PYTHONIOENCODING="ascii")
    assert (ran.code, ran.err) == (0, "")
    assert r'{"name": "Zo\u00eb"}' in ran.out
    ran = workhorse("jobs", "list", "-o", "jsonl", folder=workdir, PYTHONIOENCODING="ascii")
    assert ran.out.isascii()
    assert ran.jsonl[0]["args"] == {"name": "Zoë"}


def test_an_error_of_one_line_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Message and hint share a line."""
    report(errors.NotFound("There is no job 7.", hint="It may have been pruned."))
    assert capsys.readouterr().err == "Error: There is no job 7. It may have been pruned.\n"


def test_an_error_of_many_lines_is_framed(capsys: pytest.CaptureFixture[str]) -> None:
    """Title, body and hint stand in one frame; what could drive the terminal is escaped."""
    report(errors.ConfigurationError("Two things.\n  one\x1b[31m\n  two", hint="Mend both."))
    assert capsys.readouterr().err.splitlines() == [
        "╭─ Error: Two things.",
        "│   one\\x1b[31m",
        "│   two",
        "╰─ Mend both.",
    ]


def test_a_file_of_somebody_elses(cli: Cli, workdir: Path) -> None:
    """Looking changes nothing in it: exit 3. Only `migrate` makes it a store as well."""
    with closing(sqlite3.connect("songs.db")) as raw:
        raw.execute("create table songs (name text)")
    before = Path("songs.db").read_bytes()
    for words in (["jobs", "list"], ["queues", "list"], ["health"]):
        ran = cli(*words, "--database-url", "sqlite:///songs.db")
        assert (ran.code, ran.out) == (3, ""), words
        told = f"{workdir}/songs.db is not a Workhorse store, but has a table 'songs'."
        assert ran.err.startswith(f"Error: {told}")
        assert Path("songs.db").read_bytes() == before
    assert cli("migrate", "--database-url", "sqlite:///songs.db").code == 0
    assert cli("jobs", "list", "--database-url", "sqlite:///songs.db").code == 0


COMMANDS = [
    *(["jobs", "list"], ["health"], ["health", "--help", "--worker"], ["worker"], ["demo"]),
    *(["enqueue", "hello"], ["doctor"], ["init"], ["config", "show"], ["migrate"]),
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_current_folder_that_is_gone(cli: Cli, workdir: Path, words: list[str]) -> None:
    """Exit 3, in one line with what to do; help and version need no folder."""
    gone = workdir / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    ran = cli(*words, "--app", "app:app") if words == ["worker"] else cli(*words)
    if "--help" in words:
        assert ran.code == 0
    else:
        told = "Error: The current folder was deleted. Change into one that is there.\n"
        assert (ran.code, ran.out, ran.err) == (3, "", told)
    assert cli("--version").code == 0


@pytest.mark.needs("linux")
@pytest.mark.parametrize(
    "words", [["jobs", "list"], ["health"], ["worker", "--app", "app:app"]], ids=" ".join
)
def test_a_current_folder_that_may_not_be_searched(workdir: Path, words: list[str]) -> None:
    """Exit 3, in one line with what to do: nobody can tell what is set there."""
    ran = kept(*WORKHORSE, *words, "--database-url", f"sqlite:///{workdir}/jobs.db", mode=0)
    told = f"Error: This user may not search the current folder, {workdir}/kept. "
    told += "Change into one that it may: settings are looked for there.\n"
    assert (ran.code, ran.out, ran.err) == (3, "", told)


@pytest.mark.parametrize("words", [["jobs", "list"], ["health"], ["migrate"]])
@pytest.mark.parametrize(
    "url", ["sqlite:///:memory:", "sqlite:///~/jobs.db", "sqlite:///jobs%00.db"]
)
def test_a_file_that_is_none_is_a_wrong_setting(
    cli: Cli, workdir: Path, words: list[str], url: str
) -> None:
    """Exit 3, no file: one in memory would be gone with the command; a home is not looked up.

    No name holds a null byte.
    """
    ran = cli(*words, "--database-url", url)
    assert (ran.code, ran.out) == (3, "")
    assert f"{url} cannot be a store" in ran.err
    assert not list(workdir.iterdir())


INTERRUPTED = """
import os, signal, sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[-1]:
            sys.argv.pop()
            os.kill(os.getpid(), signal.SIGINT)

import workhorse.__main__
assert "typing" not in sys.modules, "this takes long, and nobody is there yet to be interrupted"
sys.meta_path.insert(0, Interrupting())
workhorse.__main__.main()
"""


@pytest.mark.parametrize("module", ["workhorse.cli.start", "workhorse.domain.errors", "click"])
def test_it_can_be_interrupted_as_it_loads(workdir: Path, module: str) -> None:
    """Ctrl-C from its first act on: exit 130 and no traceback."""
    done = subprocess.run(
        [sys.executable, "-S", "-c", INTERRUPTED, "jobs", "list", module],
        cwd=workdir,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Workhorse with a fault in it."""
    monkeypatch.setattr(bootstrap, "open_store", lambda *_, **__: 1 / 0)


@pytest.mark.usefixtures("faulty")
def test_a_fault_of_ours_is_told_as_one(cli: Cli) -> None:
    """Exit 70, the error in a line, and how to see more; `--debug` shows where it was."""
    ran = cli("queues", "list")
    assert (ran.code, ran.out) == (70, "")
    assert ran.err.startswith("Error: ZeroDivisionError: division by zero\n")
    assert "workhorse --debug" in ran.err

    ran = cli("--debug", "queues", "list")
    assert ran.code == 70
    assert "Traceback (most recent call last)" in ran.err


def test_debug_shows_the_traceback_behind_an_error(cli: Cli) -> None:
    """An error that was foreseen stays one line, unless one wants to see where it came from."""
    ran = cli("jobs", "show", 1)
    assert ran.code == 4
    assert len(ran.err.splitlines()) == 1
    ran = cli("--debug", "jobs", "show", 1)
    assert ran.code == 4
    assert "Traceback (most recent call last)" in ran.err
    assert "Error: There is no store at" in ran.err.splitlines()[-1]


def test_the_version(cli: Cli) -> None:
    """`--version` says the version."""
    ran = cli("--version")
    assert (ran.code, ran.err) == (0, "")
    assert re.fullmatch(r"workhorse \d+\.\d+\.\d+\S*\n", ran.out)


def test_the_script_and_the_module_are_the_same_program(workdir: Path) -> None:
    """`workhorse` and `python -m workhorse` both are this command line."""
    script = Path(sys.executable).with_name("workhorse")
    by_name = subprocess.run([script, "jobz"], capture_output=True, text=True, check=False)
    by_module = workhorse("jobz", folder=workdir)
    assert (by_name.returncode, by_name.stderr) == (by_module.code, by_module.err)
    assert os.access(script, os.X_OK)


THREADED = """
import threading
from pathlib import Path

from workhorse import Workhorse

app = Workhorse()


@app.job
def hello(name: str) -> None: ...


def end() -> None:
    threading.main_thread().join()
    Path("ended").touch()


threading.Thread(target={0}, name="telemetry").start()
"""


@pytest.mark.parametrize("words", [["enqueue", "hello", '{"name":"x"}'], ["queues", "list"]])
def test_a_thread_of_the_app_that_never_ends_holds_no_command(
    workdir: Path, words: list[str]
) -> None:
    """The command ends with its own code once the answer is given, and says what it has left."""
    (workdir / "app.py").write_text(THREADED.format("threading.Event().wait"))
    assert workhorse("migrate", folder=workdir).code == 0
    ran = workhorse(*words, "--app", "app:app", folder=workdir)
    assert (ran.code, ran.err) == (0, "A thread of the app does not end, and is left: telemetry.\n")
    assert ran.out


def test_a_thread_of_the_app_that_ends_is_waited_for(workdir: Path) -> None:
    """What it does at the end is done."""
    (workdir / "app.py").write_text(THREADED.format("end"))
    ran = workhorse("enqueue", "hello", '{"name":"x"}', "--app", "app:app", folder=workdir)
    assert (ran.code, ran.err) == (0, "")
    assert (workdir / "ended").exists()
