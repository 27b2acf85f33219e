"""Where an app that was made without a URL keeps its jobs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.processes import kept
from workhorse import ConfigurationError, Workhorse
from workhorse.cli.start import run
from workhorse.urls import sqlite_path

MINE = "sqlite:///mine.db"


def test_without_any_word_the_store_is_in_the_folder(workdir: Path) -> None:
    """Nothing is configured: a hidden folder of the current one, made at the first use only."""
    assert Workhorse().url == "sqlite:///.workhorse/jobs.db"
    assert list(workdir.iterdir()) == []


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("workhorse.toml", f'database_url = "{MINE}"'),
        ("pyproject.toml", f'[tool.workhorse]\ndatabase_url = "{MINE}"'),
        (".env", f"WORKHORSE_DATABASE_URL={MINE}"),
    ],
)
def test_a_file_that_the_worker_reads_is_read_by_the_app(
    workdir: Path, file: str, text: str
) -> None:
    """A web server that enqueues and the worker beside it are on one store."""
    (workdir / file).write_text(text)
    assert Workhorse().url == MINE
    assert Workhorse("sqlite:///other.db").url == "sqlite:///other.db"


def test_the_environment_is_stronger_than_a_file(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variable, or the file of secrets that it names."""
    (workdir / "workhorse.toml").write_text('database_url = "sqlite:///weaker.db"')
    (workdir / "secret").write_text(f"{MINE}\n")
    monkeypatch.setenv("WORKHORSE_DATABASE_URL_FILE", "secret")
    assert Workhorse().url == MINE
    monkeypatch.delenv("WORKHORSE_DATABASE_URL_FILE")
    monkeypatch.setenv("WORKHORSE_DATABASE_URL", MINE)
    assert Workhorse().url == MINE


@pytest.mark.parametrize("closed", [False, True])
def test_a_relative_path_begins_where_the_app_was_made(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, *, closed: bool
) -> None:
    """A process that goes elsewhere, a daemon say, does not begin a second store there."""
    app = Workhorse("sqlite:///jobs.db?durability=normal")
    if closed:
        app.store.workers()
        app.close()
    (workdir / "elsewhere").mkdir()
    monkeypatch.chdir(workdir / "elsewhere")
    assert app.store.url == f"sqlite:///{workdir / 'jobs.db'}"
    app.close()
    assert list((workdir / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("name", ["jobs.db", "one folder/50% #1?.db", "ключ.db"])
def test_the_path_of_a_file_names_a_store(workdir: Path, name: str) -> None:
    """Whole or from the current folder, whatever is in its name."""
    for path in (Path(name), workdir / name):
        app = Workhorse(path)
        app.store.close()
        assert (workdir / name).is_file()
        assert sqlite_path(app.url) == path


@pytest.mark.parametrize("url", [5, b"sqlite:///jobs.db", True])
def test_what_cannot_name_a_store_is_told_at_once(url: Any) -> None:
    """When the app is made, not at its first job."""
    with pytest.raises(ConfigurationError, match=f"A {type(url).__name__} does not name a store"):
        Workhorse(url)


def test_a_file_that_cannot_be_read_is_not_passed_over(workdir: Path) -> None:
    """It may have named the store: jobs put elsewhere would never be seen."""
    (workdir / "workhorse.toml").write_text("database_url =")
    with pytest.raises(ConfigurationError, match=r"workhorse.toml: cannot be read as TOML"):
        Workhorse()


@pytest.mark.needs("linux")
@pytest.mark.parametrize("folder", ["/kept", ""])
def test_a_file_that_may_not_be_reached_is_not_passed_over(workdir: Path, folder: str) -> None:
    """Nobody can tell what is in the current folder, or where a link leads to."""
    (workdir / ".env").symlink_to("kept/.env")
    make = """
import os, sys
from workhorse import ConfigurationError, Workhorse

if os.getcwd() != sys.argv[1]:
    os.chdir(sys.argv[1])
try:
    Workhorse()
except ConfigurationError as error:
    print(error)
"""
    ran = kept(sys.executable, "-c", make, f"{workdir}{folder}", mode=0)
    assert ran.out.startswith("Where the jobs are kept cannot be told.\n"), ran
    assert ran.out.endswith(".env: cannot be read: [Errno 13] Permission denied: '.env'\n")


@pytest.mark.parametrize(
    ("file", "text", "told"),
    [
        ("workhorse.toml", 'database_url = ""', "workhorse.toml:database_url: expected the URL"),
        ("workhorse.toml", "database_url = 5", "workhorse.toml:database_url: expected the URL"),
        ("workhorse.toml", 'database_urll = "sqlite:///a.db"', "Did you mean 'database_url'"),
        (".env", 'WORKHORSE_DATABASE_URL="sqlite:///a.db', r"\.env:1: expected WORKHORSE_"),
        (".env", "WORKHORSE_DATABASE_URL_FILE=secret", "is 'secret'; expected a file"),
        (".env", "workhorse_database_url=sqlite:///a.db", "is written WORKHORSE_DATABASE_URL"),
    ],
)
def test_a_url_that_was_meant_is_not_passed_over(
    workdir: Path, file: str, text: str, told: str
) -> None:
    """A slip in what names the store is told by the app, the worker and the probe alike.

    None of them takes the default store for the one that was meant.
    """
    Workhorse().store.close()  # the default one is there
    (workdir / file).write_text(text)
    (workdir / "secret").write_text("\n")
    with pytest.raises(ConfigurationError, match=told):
        Workhorse()
    for command in ("health", "config show"):
        assert run(command.split()) == ConfigurationError.exit_code, command


def test_a_dotenv_of_others_may_have_odd_lines(workdir: Path) -> None:
    """Only a line of ours has to be understood."""
    (workdir / ".env").write_text("ODD LINE\nWORKHORSE_DATABASE_URL=sqlite:///a.db\n=x\n")
    assert Workhorse().url == "sqlite:///a.db"
