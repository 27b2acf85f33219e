"""The demo's folder: for one demo at a time, cleared of what the last one left and no more."""

from __future__ import annotations

from pathlib import Path

import pytest

from workhorse.cli.start import run
from workhorse.demo.workspace import fresh_workspace, near, project_copy, sample_project
from workhorse.domain.errors import Conflict
from workhorse.domain.job import NewJob
from workhorse.store.opening import open_store
from workhorse.store.protocol import JobFilter


def test_what_an_earlier_demo_left_is_removed(workdir: Path) -> None:
    """Store, log and artifacts stay after a demo, and go when the next begins."""
    root = workdir / ".workhorse"
    for _ in range(2):
        with fresh_workspace(root) as work:
            assert list(work.files.iterdir()) == []
            assert not work.log.exists()
            store = open_store(work.url)
            assert store.list_jobs(JobFilter()) == []
            store.enqueue([NewJob("hello")])
            store.close()
            work.log.write_text("worker started")
            (work.files / "dist").mkdir()
        assert work.database.exists()
        assert work.log.exists()


def test_nothing_of_the_users_is_touched(workdir: Path) -> None:
    """A folder that was there keeps its files and gets no .gitignore; a new one is ignored."""
    (workdir / "mine").mkdir()
    (workdir / "mine" / "jobs.db").write_text("precious")
    with fresh_workspace(workdir / "mine"):
        pass
    assert (workdir / "mine" / "jobs.db").read_text() == "precious"
    assert not (workdir / "mine" / ".gitignore").exists()
    with fresh_workspace(workdir / "new"):
        pass
    assert (workdir / "new" / ".gitignore").read_text() == "*\n"


@pytest.mark.parametrize("name", ["demo", "demo.db", "demo.log"])
def test_what_only_has_a_demo_s_name_is_not_removed(
    name: str, workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where no demo has been, what has the name of a demo's thing is the user's: exit 6, twice."""
    (workdir / "demo.db.bak").write_text("precious")
    (workdir / name).mkdir()
    (workdir / name / "notes.txt").write_text("precious")
    for _ in range(2):
        assert run(["demo", "--dir", "."]) == Conflict.exit_code
        assert capsys.readouterr().err == (
            f"Error: {name} would be overwritten, and no demo made it. "
            "Give this one its own --dir.\n"
        )
    assert (workdir / name / "notes.txt").read_text() == "precious"
    (workdir / name).rename(workdir / "mine")
    for _ in range(2):
        with fresh_workspace(workdir):
            pass
    assert (workdir / "demo.db.bak").read_text() == "precious"


def test_a_second_demo_in_the_same_folder_is_refused(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 6 in one line that says what to do; the first goes on, and then the folder is free."""
    with fresh_workspace(Path(".workhorse")) as work:
        work.log.write_text("the first one's")
        assert run(["demo"]) == Conflict.exit_code
        assert work.log.read_text() == "the first one's"
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == (
        "Error: A demo is running in .workhorse already. Give this one its own --dir.\n"
    )
    with fresh_workspace(Path(".workhorse")):
        pass


@pytest.mark.parametrize("folder", ["/proc/nowhere", "file", "file/below"])
def test_a_folder_that_cannot_be_written_is_one_line(
    folder: str, workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 4, and nothing but the place, the reason and the way out."""
    (workdir / "file").write_text("")
    assert run(["demo", "--dir", folder]) == 4
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"Error: Cannot write to {folder}: ")
    assert printed.err.endswith("--dir.\n")
    assert printed.err.count("\n") == 1


def test_an_odd_path_is_a_url_all_the_same(workdir: Path) -> None:
    """Spaces, question marks and percent signs in the folder's name reach the store unharmed."""
    with fresh_workspace(workdir / "50% off? yes") as work:
        open_store(work.url).close()
        assert work.database.is_file()


def test_a_copy_is_whole_and_goes_away(workdir: Path) -> None:
    """A job works on its own copy, also after an attempt that was killed left one behind."""
    (workdir / "copy" / "basket").mkdir(parents=True)
    (workdir / "copy" / "basket" / "left.py").write_text("")
    with project_copy(sample_project(), workdir / "copy") as copy:
        assert (copy / "pyproject.toml").is_file()
        assert not (copy / "basket" / "left.py").exists()
        assert not list(copy.rglob("__pycache__"))
    assert not (workdir / "copy").exists()


def test_paths_are_shown_as_one_would_type_them(workdir: Path) -> None:
    """Relative below the current folder, else absolute."""
    assert near(workdir / "a" / "b") == "a/b"
    assert near(Path("/elsewhere")) == "/elsewhere"
