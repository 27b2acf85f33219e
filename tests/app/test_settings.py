"""Settings: where they are looked for, which wins, and how every problem is told at once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from workhorse import ConfigurationError, InvalidJob
from workhorse.domain.job import check_name
from workhorse.settings import Settings, load, shown
from workhorse.sources import configured_url
from workhorse.urls import mask_url

SECRET = "hunter2"
URL = f"postgresql://worker:{SECRET}@db.example/jobs"


@pytest.fixture(autouse=True)
def in_an_empty_folder(workdir: Path) -> Path:
    """Every test has a folder of its own, and no settings but those it makes."""
    return workdir


def write(name: str, text: str) -> None:
    Path(name).write_text(text)


def problems(flags: dict[str, Any] | None = None) -> list[str]:
    """Load the settings, which must be refused; return the lines that say why."""
    with pytest.raises(ConfigurationError) as refused:
        load(flags)
    headline, *lines = str(refused.value).split("\n")
    if len(lines) == 1:
        assert headline == "A setting is wrong."
    else:
        assert headline == f"{len(lines)} settings are wrong."
    return lines


# ── where ───────────────────────────────────────────────────────────────────────────────────


def test_nothing_said_means_the_defaults() -> None:
    """An empty folder and an empty environment are enough."""
    loaded = load()
    assert loaded.settings == Settings()
    assert loaded.settings.queues == ("default",)
    assert loaded.settings.concurrency == 10
    assert loaded.database_url is None
    assert (dict(loaded.origins), loaded.warnings) == ({}, ())


def test_files_as_an_editor_on_windows_leaves_them() -> None:
    """With the mark of their encoding in front, and two characters at the end of each line."""
    write("workhorse.toml", "\ufeffconcurrency = 2\r\nprocesses = 3\r\n")
    write("secret", f"\ufeff{URL}\r\n")
    write(".env", "\ufeffWORKHORSE_LEASE=20\r\nWORKHORSE_DATABASE_URL_FILE=secret\r\n")
    settings = load().settings
    assert (settings.concurrency, settings.processes, settings.lease) == (2, 3, 20)
    assert load().database_url == URL


def test_the_strongest_place_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    """flag > environment > .env > workhorse.toml > pyproject.toml, and each origin is known."""

    def found(flags: dict[str, Any] | None = None) -> tuple[int, str]:
        loaded = load(flags)
        return loaded.settings.concurrency, loaded.origins["concurrency"]

    write("pyproject.toml", "[tool.workhorse]\nconcurrency = 1\nprocesses = 3\n")
    assert found() == (1, "pyproject.toml:tool.workhorse.concurrency")
    write("workhorse.toml", "concurrency = 2\n")
    assert found() == (2, "workhorse.toml:concurrency")
    write(".env", "WORKHORSE_CONCURRENCY=3\n")
    assert found() == (3, ".env:WORKHORSE_CONCURRENCY")
    monkeypatch.setenv("WORKHORSE_CONCURRENCY", "4")
    assert found() == (4, "WORKHORSE_CONCURRENCY")
    assert found({"concurrency": 5, "processes": None}) == (5, "--concurrency")
    assert load({"processes": None, "queues": ()}).settings.processes == 3


def test_flags_that_were_not_given_say_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """None, or an empty list of repeated flags, leaves the weaker places their say."""
    monkeypatch.setenv("WORKHORSE_QUEUES", "a,b")
    assert load({"queues": (), "lease": None}).settings.queues == ("a", "b")
    assert load({"queues": ("c", "d,e")}).settings.queues == ("c", "d", "e")


def test_an_empty_variable_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compose files and unit files leave such behind: the weaker places and defaults hold."""
    for name in ("APP", "DATABASE_URL", "DATABASE_URL_FILE", "CONCURRENCY", "MAX_TIME", "QUEUES"):
        monkeypatch.setenv(f"WORKHORSE_{name}", "")
    write("workhorse.toml", "concurrency = 2\n")
    settings = load().settings
    assert (settings.concurrency, settings.max_time, settings.app) == (2, 3600.0, None)


def test_dotenv_is_read_as_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Quotes, comments and `export` are understood; nothing is interpolated, nothing exported."""
    monkeypatch.setenv("HOME_DIR", "/root")
    write(
        ".env",
        "# a comment\n"
        "export WORKHORSE_APP='app:app'\n"
        "WORKHORSE_DATABASE_URL = 'sqlite:///${HOME_DIR}.db'\n"
        "OTHER=1\n",
    )
    loaded = load()
    assert loaded.settings.app == "app:app"
    assert loaded.database_url == "sqlite:///${HOME_DIR}.db"
    assert "WORKHORSE_APP" not in os.environ


@pytest.mark.parametrize(
    ("text", "queues"),
    [
        ("high,default,low", ("high", "default", "low")),
        (" high , low ", ("high", "low")),
        ("a,b,a", ("a", "b")),
        ("one", ("one",)),
    ],
)
def test_queues_keep_their_order(
    monkeypatch: pytest.MonkeyPatch, text: str, queues: tuple[str, ...]
) -> None:
    """A list in a variable is separated by commas; in TOML it is a list or such a text."""
    monkeypatch.setenv("WORKHORSE_QUEUES", text)
    assert load().settings.queues == queues
    monkeypatch.delenv("WORKHORSE_QUEUES")
    write("workhorse.toml", f"queues = {[name.strip() for name in text.split(',')]}")
    assert load().settings.queues == queues


def test_none_means_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither TOML nor a variable knows null: the word says it, in any case."""
    monkeypatch.setenv("WORKHORSE_MAX_TIME", "None")
    monkeypatch.setenv("WORKHORSE_MAX_JOBS", "none")
    write("workhorse.toml", 'retention_max_jobs = "none"\nretention_failed_days = "NONE"\n')
    settings = load().settings
    assert settings.max_time is None
    assert settings.max_jobs is None
    assert settings.retention_max_jobs is None
    assert settings.retention_failed_days is None


# ── every problem at once ───────────────────────────────────────────────────────────────────


def test_every_problem_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One run names each: the place, what was given, and what was expected."""
    write("pyproject.toml", "[tool.workhorse]\nlog_level = 'loud'\n")
    write("workhorse.toml", "concurency = 5\nprocesses = 0\nqueues = ['a b']\n")
    write(".env", "WORKHORSE_LEASE=soon\n")
    monkeypatch.setenv("WORKHORSE_MAX_JOBS", "-1")
    monkeypatch.setenv("WORKHORSE_APP", "app.py")
    lines = problems({"concurrency": "many"})
    levels = "'debug', 'info', 'warning' or 'error'"
    with pytest.raises(InvalidJob) as name:
        check_name("queue", "a b")
    assert set(lines) == {
        f"pyproject.toml:tool.workhorse.log_level: is 'loud'; expected {levels}",
        "workhorse.toml:concurency: is not a setting. Did you mean 'concurrency'?",
        "workhorse.toml:processes: is 0; expected greater than or equal to 1",
        f"workhorse.toml:queues: is ['a b']; expected names of queues, but {name.value}",
        ".env:WORKHORSE_LEASE: is 'soon'; expected a valid number",
        "WORKHORSE_MAX_JOBS: is '-1'; expected greater than or equal to 1",
        "WORKHORSE_APP: is 'app.py'; expected module:attribute, as in app:app",
        "--concurrency: is 'many'; expected a valid integer",
    }


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("app = 'app'", "expected module:attribute"),
        ("app = 5", "expected a valid string"),
        ("concurrency = 1001", "expected less than or equal to 1000"),
        ("concurrency = 2.5", "expected a valid integer"),
        ("queues = []", "expected"),
        ("queues = [1]", "expected"),
        ("queues = ''", "expected"),
        ("lease = 0", "expected greater than 0"),
        ("lease = inf", "expected"),
        ("lease = nan", "expected"),
        ("concurrency = true", "is True; expected neither true nor false"),
        ("max_jobs = false", "is False; expected neither true nor false"),
        ("queues = true", "expected neither true nor false"),
        ("queues = [1, 2]", "is [1, 2]; expected a valid string"),
        ("max_time = -1", "expected greater than 0"),
        ("shutdown_timeout = -0.5", "expected greater than or equal to 0"),
        ("log_format = 'xml'", "expected 'auto', 'json' or 'pretty'"),
        ("log_level = 3", "expected 'debug', 'info', 'warning' or 'error'"),
        ("retention_max_jobs = 0", "expected greater than or equal to 1"),
        ("database_url = 'jobs.db'", "expected a URL such as sqlite:///jobs.db"),
        ("database_url = 'sqlite://jobs.db'", "expected a URL such as sqlite:///jobs.db"),
        ("database_url = 'sqlite:///'", "expected a URL such as sqlite:///jobs.db"),
    ],
)
def test_a_value_that_makes_no_sense(given: str, told: str) -> None:
    """The key, and what would have made sense."""
    write("workhorse.toml", given)
    (line,) = problems()
    assert line.startswith(f"workhorse.toml:{given.partition(' ')[0]}: is ")
    assert told in line


def test_a_flag_that_may_be_repeated_is_told_as_it_was_written() -> None:
    """Not as Python holds it."""
    assert problems({"queues": ("",)}) == ["--queues: is ''; expected one queue or more"]
    (line,) = problems({"queues": ("a", "b c")})
    assert line.startswith("--queues: is 'a,b c'; expected names of queues")


@pytest.mark.parametrize(
    ("lines", "origin"),
    [
        ("lease = 5\nrenew = 3", "workhorse.toml:renew: is 3 against a lease of 5; expected"),
        ("renew = 16", "workhorse.toml:renew: is 16 against a lease of 30; expected"),
        ("lease = 9.5", "workhorse.toml:lease: is 9.5 with renew at 5; expected"),
    ],
)
def test_two_settings_that_contradict_each_other(lines: str, origin: str) -> None:
    """A lease must live through a missed renewal: the setting that was given is named."""
    write("workhorse.toml", lines)
    (line,) = problems()
    assert line.startswith(f"{origin} the lease to be at least twice as long")


def test_a_contradiction_is_told_beside_what_else_is_wrong() -> None:
    """Unless one of the two is wrong by itself."""
    write("workhorse.toml", "concurrency = 0\nqueues = []\nlease = 3\n")
    assert [line.partition(";")[2] for line in sorted(problems())] == [
        " expected greater than or equal to 1",
        " expected the lease to be at least twice as long as the time between renewals",
        " expected one queue or more",
    ]
    write("workhorse.toml", "lease = 3\nrenew = 'often'\n")
    (line,) = problems()
    assert line.startswith("workhorse.toml:renew: is 'often'")


def test_an_unknown_key_in_a_file_is_refused() -> None:
    """A slip of the pen changes nothing silently; the nearest name is offered, if one is near."""
    write("workhorse.toml", "que = 'a'\nzzz = 1\n")
    write("pyproject.toml", "[tool.workhorse]\ndatabase = 'x'\n")
    assert sorted(problems()) == [
        "pyproject.toml:tool.workhorse.database: is not a setting. Did you mean 'database_url'?",
        "workhorse.toml:que: is not a setting. Did you mean 'queues'?",
        "workhorse.toml:zzz: is not a setting.",
    ]


def test_an_unknown_variable_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """A platform may inject names of its own; what looks like a slip is said, with its remedy."""
    monkeypatch.setenv("WORKHORSE_CONCURENCY", "5")
    monkeypatch.setenv("WORKHORSE_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("WORKHORSE_PORT_8000_TCP", "tcp://10.0.0.1")
    loaded = load()
    assert loaded.settings == Settings()
    assert loaded.warnings == (
        "WORKHORSE_CONCURENCY: sets nothing. Did you mean 'WORKHORSE_CONCURRENCY'?",
    )


def test_a_variable_in_small_letters_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """It sets nothing, wherever it stands; one that was to say where the jobs are is refused."""
    monkeypatch.setenv("workhorse_app", "a:b")
    write(".env", "workhorse_leese=3\nexport Workhorse_Lease=3\n")
    loaded = load()
    assert loaded.settings == Settings()
    assert loaded.warnings == (
        ".env:workhorse_leese: sets nothing. Did you mean 'WORKHORSE_LEASE'?",
        ".env:Workhorse_Lease: sets nothing. Did you mean 'WORKHORSE_LEASE'?",
        "workhorse_app: sets nothing. Did you mean 'WORKHORSE_APP'?",
    )
    write(".env", f"workhorse_database_url={URL}\nWorkhorse_listen_url_file=x\n")
    with pytest.raises(ConfigurationError) as refused:
        load()
    assert str(refused.value).splitlines() == [
        "2 settings are wrong.",
        ".env:workhorse_database_url: is written WORKHORSE_DATABASE_URL",
        ".env:Workhorse_listen_url_file: is written WORKHORSE_LISTEN_URL_FILE",
        "Warning: workhorse_app: sets nothing. Did you mean 'WORKHORSE_APP'?",
    ]


def test_a_slip_is_told_beside_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that sets nothing is not kept for the time when all else is right."""
    monkeypatch.setenv("WORKHORSE_QUEUS", "a")
    monkeypatch.setenv("WORKHORSE_LEASE", "long")
    with pytest.raises(ConfigurationError) as refused:
        load()
    assert str(refused.value).splitlines() == [
        "A setting is wrong.",
        "WORKHORSE_LEASE: is 'long'; expected a valid number",
        "Warning: WORKHORSE_QUEUS: sets nothing. Did you mean 'WORKHORSE_QUEUES'?",
    ]


@pytest.mark.parametrize(
    "line",
    ["WORKHORSE_APP", "export WORKHORSE_APP", "WORKHORSE APP=a:b", "workhorse_app: a:b"],
)
def test_a_line_of_dotenv_that_cannot_be_read_is_a_problem(line: str) -> None:
    """If it was meant for us, as far as that can be told."""
    write(".env", f"OTHER\nODD workhorses\n{line}\n")
    assert problems() == [".env:3: expected WORKHORSE_…=value"]


def test_a_line_of_dotenv_that_hands_on_what_another_sets() -> None:
    """Shells read the file, too: they want it said so."""
    write(".env", "WORKHORSE_APP=a:b\nexport WORKHORSE_APP\n")
    assert load().settings.app == "a:b"


@pytest.mark.parametrize("value", ["${DATA}/jobs.db", '"sqlite:///$(pwd)/j.db"', "${DATA:-x}"])
@pytest.mark.parametrize("variable", ["WORKHORSE_DATABASE_URL", "WORKHORSE_DATABASE_URL_FILE"])
def test_what_a_shell_would_fill_in_is_a_problem(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    """Nothing is put in its place here: taken as it stands, it would name another store.

    Not where a stronger place says it, be it the shell that has filled it in, or a later line.
    """
    monkeypatch.setenv("DATA", "/data")
    line = f"{variable}={value}\n"
    write(".env", f"# where the jobs are\nOTHER={value}\n{line}")
    told = "nothing is put in the place of ${…} or $(…); write it out, or put it in '…' as it is"
    assert problems() == [f".env:{variable}: {told}"]
    write("workhorse.toml", 'database_url = "sqlite:///weaker.db"\n')
    with pytest.raises(ConfigurationError, match="cannot be told"):
        configured_url()
    write(".env", f"{line}WORKHORSE_DATABASE_URL={URL}\n")
    assert load().database_url == URL
    write(".env", line)
    monkeypatch.setenv("WORKHORSE_DATABASE_URL", URL)
    assert load().database_url == URL


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("workhorse.toml", b"queues = [", "workhorse.toml: cannot be read as TOML"),
        ("workhorse.toml", b"\xff", "workhorse.toml: cannot be read as TOML"),
        ("pyproject.toml", b"tool = 5", "pyproject.toml:tool.workhorse: expected a table"),
        ("pyproject.toml", b"[tool]\nworkhorse = 5", "pyproject.toml:tool.workhorse: expected a"),
        (".env", b"WORKHORSE_APP=\xff\xfe", ".env: cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_problem(name: str, content: bytes, told: str) -> None:
    """It is named, and the other problems are told beside it."""
    Path(name).write_bytes(content)
    one, other = problems({"concurrency": 0})
    assert one.startswith(told)
    assert other.startswith("--concurrency: is 0;")


def test_a_project_without_our_table_says_nothing() -> None:
    """Another tool's pyproject.toml is none of our business."""
    write("pyproject.toml", "[project]\nname = 'x'\n[tool.other]\nconcurrency = 1\n")
    assert load().settings == Settings()


# ── secrets ─────────────────────────────────────────────────────────────────────────────────


def test_a_secret_may_be_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """`WORKHORSE_DATABASE_URL_FILE` names it; the newline at its end is not part of it."""
    write("secret", URL + "\n")
    monkeypatch.setenv("WORKHORSE_DATABASE_URL_FILE", "secret")
    loaded = load()
    assert loaded.database_url == URL
    assert loaded.origins["database_url"] == "WORKHORSE_DATABASE_URL_FILE"


def test_a_secret_in_two_places_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody could tell which is meant."""
    write("secret", URL)
    monkeypatch.setenv("WORKHORSE_DATABASE_URL_FILE", "secret")
    monkeypatch.setenv("WORKHORSE_DATABASE_URL", URL)
    (line,) = problems()
    assert line == (
        "WORKHORSE_DATABASE_URL_FILE: WORKHORSE_DATABASE_URL is set as well; keep one of them"
    )


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("missing", "No such file"),
        (".", "Is a directory"),
        ("binary", "not UTF-8 text"),
        ("empty", "not empty"),
    ],
)
def test_a_secret_that_cannot_be_read_is_a_problem(
    monkeypatch: pytest.MonkeyPatch, path: str, told: str
) -> None:
    """The file and the reason are named."""
    Path("binary").write_bytes(b"\xff")
    write("empty", "\n")
    monkeypatch.setenv("WORKHORSE_DATABASE_URL_FILE", path)
    (line,) = problems()
    assert line.startswith(f"WORKHORSE_DATABASE_URL_FILE: is '{path}'; expected a file")
    assert told in line


def test_a_secret_that_is_not_asked_for_may_be_unreadable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stronger place gives it: the weaker one is not looked into, as with any other setting."""
    write(".env", "WORKHORSE_DATABASE_URL_FILE=/nowhere\n")
    assert len(problems()) == 1
    assert load({"database_url": URL}).database_url == URL
    monkeypatch.setenv("WORKHORSE_DATABASE_URL", URL)
    assert load().database_url == URL


def test_a_secret_is_never_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not where it is refused, not in a repr, not by `config show`."""
    monkeypatch.setenv("WORKHORSE_DATABASE_URL", URL)
    loaded = load()
    assert shown(loaded, "database_url") == "postgresql://worker:***@db.example/jobs"
    assert shown(loaded, "queues") == ["default"]
    assert shown(loaded, "max_jobs") is None
    assert SECRET not in repr(loaded) + str(loaded.settings) + loaded.settings.model_dump_json()

    monkeypatch.setenv("WORKHORSE_DATABASE_URL", f"mysql://worker:{SECRET}@db/jobs")
    write("workhorse.toml", f"database_url = ['{SECRET}']\nlease = 0\n")
    told = "\n".join(problems())
    assert "WORKHORSE_DATABASE_URL: is set (not shown); expected a URL" in told
    assert SECRET not in told

    monkeypatch.delenv("WORKHORSE_DATABASE_URL")
    told = "\n".join(problems())
    assert "workhorse.toml:database_url: is set (not shown)" in told
    assert SECRET not in told


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("sqlite:///jobs.db", "sqlite:///jobs.db"),
        ("sqlite:////var/a:b@c.db", "sqlite:////var/a:b@c.db"),
        ("postgresql://u:p@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u:p@ss:w@h:5432/d", "postgresql://u:***@h:5432/d"),
        ("postgresql://:p@h/d", "postgresql://:***@h/d"),
        ("postgresql://u@h/d", "postgresql://u@h/d"),
        ("postgresql://h/d?password=p&sslmode=on", "postgresql://h/d?password=***&sslmode=on"),
        ("postgresql://h/d?sslpassword=p", "postgresql://h/d?sslpassword=***"),
        ("postgresql://h/d?a=1&authToken=p", "postgresql://h/d?a=1&authToken=***"),
    ],
)
def test_a_url_is_masked(url: str, masked: str) -> None:
    """The password goes, wherever it stands; what helps to find a mistake stays."""
    assert mask_url(url) == masked
