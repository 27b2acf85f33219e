"""`workhorse init`: what it writes, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Cli


def test_init_writes_an_app_and_its_settings(cli: Cli, workdir: Path) -> None:
    """Two files to start from, in the folder named; what they make is kept out of git."""
    ran = cli("init", "my project")
    assert (ran.code, ran.err) == (0, "")
    assert "cd 'my project'\n" in ran.out
    folder = workdir / "my project"
    assert 'app = "app:app"' in (folder / "workhorse.toml").read_text()
    assert (folder / "app.py").exists()
    assert (folder / ".workhorse" / ".gitignore").read_text() == "*\n"


def test_init_leaves_what_git_is_told(cli: Cli, workdir: Path) -> None:
    """Also where a store's folder is there already."""
    ignore = workdir / ".workhorse" / ".gitignore"
    ignore.parent.mkdir()
    ignore.write_text("mine")
    assert cli("init").code == 0
    assert ignore.read_text() == "mine"


def test_init_overwrites_nothing(cli: Cli, workdir: Path) -> None:
    """A file that is there is named, and nothing at all is written."""
    (workdir / "app.py").write_text("mine")
    ran = cli("init")
    assert (ran.code, ran.out) == (6, "")
    assert ran.err == "Error: app.py would be overwritten; nothing was written.\n"
    assert [path.name for path in workdir.iterdir()] == ["app.py"]
    assert (workdir / "app.py").read_text() == "mine"


def test_init_where_nothing_can_be_written(cli: Cli) -> None:
    """A place that takes no files is told in one line."""
    ran = cli("init", "/proc/nowhere")
    assert ran.code == 2
    assert ran.err.startswith("Error: Cannot write /proc/nowhere: No such file or directory.\n")
