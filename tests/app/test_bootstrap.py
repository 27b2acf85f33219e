"""Settings → app, store, worker: whose word counts, and what is refused before anything starts."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from workhorse import ConfigurationError, Unavailable, bootstrap
from workhorse.engine.config import WorkerConfig
from workhorse.settings import DAY, Settings, load

APP = "from workhorse import Workhorse\napp = Workhorse({url})\nother = 5\n"


@pytest.fixture(autouse=True)
def here(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own, which is importable, and an environment that is put back."""
    monkeypatch.setattr(sys, "path", [str(workdir), *sys.path])
    monkeypatch.setenv("WORKHORSE_APP", "theapp:app")
    monkeypatch.setitem(os.environ, "WORKHORSE_DATABASE_URL", "")
    return workdir


def an_app(url: str | None) -> None:
    """Write an app on `url`, to be imported afresh."""
    sys.modules.pop("theapp", None)
    Path("theapp.py").write_text(APP.format(url="" if url is None else repr(url)))


def test_an_app_without_a_url_takes_the_configured_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process and in those it starts."""
    an_app(None)
    monkeypatch.setenv("WORKHORSE_DATABASE_URL", "sqlite:///configured.db")
    assert bootstrap.open_app(load()).url == "sqlite:///configured.db"


def test_a_url_from_a_file_reaches_child_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment they inherit names the file, wherever they go, and holds no secret."""
    an_app(None)
    Path("secret").write_text("sqlite:///from-file.db\n")
    monkeypatch.setenv("WORKHORSE_DATABASE_URL_FILE", "secret")
    assert bootstrap.open_app(load()).url == "sqlite:///from-file.db"
    assert os.environ["WORKHORSE_DATABASE_URL_FILE"] == str(Path("secret").absolute())
    assert "sqlite:///from-file.db" not in os.environ.values()
    assert load().database_url == "sqlite:///from-file.db"


def test_a_url_from_a_pipe_reaches_child_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """It can be read only once, so the environment they inherit holds it."""
    an_app(None)
    ours, theirs = os.pipe()
    os.write(theirs, b"sqlite:///from-pipe.db\n")
    os.close(theirs)
    monkeypatch.setenv("WORKHORSE_DATABASE_URL_FILE", f"/dev/fd/{ours}")
    assert bootstrap.open_app(load()).url == "sqlite:///from-pipe.db"
    assert load().database_url == os.environ["WORKHORSE_DATABASE_URL"] == "sqlite:///from-pipe.db"
    os.close(ours)


@pytest.mark.parametrize(
    "path", ["/dev/fd/{fd}", "/proc/self/fd/{fd}", "/proc/{pid}/fd/{fd}", "link"]
)
def test_a_url_from_an_open_file_reaches_child_processes(
    monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """Its number is another file's in them, or none's: the environment holds the URL."""
    an_app(None)
    Path("secret").write_text("sqlite:///from-open.db\n")
    with Path("secret").open() as secret:
        Path("link").symlink_to(f"/dev/fd/{secret.fileno()}")
        path = path.format(fd=secret.fileno(), pid=os.getpid())
        monkeypatch.setenv("WORKHORSE_DATABASE_URL_FILE", path)
        assert bootstrap.open_app(load()).url == "sqlite:///from-open.db"
    assert load().database_url == os.environ["WORKHORSE_DATABASE_URL"] == "sqlite:///from-open.db"


@pytest.mark.parametrize("redirect", ["/dev/stdin <url", "/dev/fd/3 3<url"])
def test_a_worker_whose_url_is_in_a_redirected_file(here: Path, redirect: str) -> None:
    """Its children keep their jobs where it was told to: they have other files by these numbers."""
    an_app(None)
    Path("url").write_text("sqlite:///redirected.db\n")
    path, source = redirect.split()
    command = f"exec '{sys.executable}' -m workhorse worker --burst {source}"
    env = os.environ | {"WORKHORSE_DATABASE_URL_FILE": path}
    ran = subprocess.run(
        ["sh", "-c", command], env=env, timeout=30, capture_output=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert (here / "redirected.db").exists()


def test_two_settings_in_two_files_that_hold_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Child processes are told the file of the one that they need, whichever was read first."""
    an_app(None)
    for name in ("listen", "database"):
        Path(name).write_text("postgresql://me@here/jobs")
    monkeypatch.setenv("WORKHORSE_DATABASE_URL_FILE", "database")
    monkeypatch.setenv("WORKHORSE_LISTEN_URL_FILE", "listen")
    bootstrap.offer_url(load())
    assert os.environ["WORKHORSE_DATABASE_URL_FILE"] == str(Path("database").absolute())


@pytest.mark.parametrize(
    "spelled",
    [
        "sqlite:///jobs.db",
        "sqlite:///./jobs.db",
        "sqlite:///{here}/jobs.db",
        "sqlite:///jobs.db?durability=normal",
        "sqlite:///%6aobs.db",
        "sqlite:///link/jobs.db",
    ],
)
def test_one_store_may_be_spelled_in_many_ways(
    here: Path, monkeypatch: pytest.MonkeyPatch, spelled: str
) -> None:
    """Relative, absolute, with options, quoted, by a link: the same file is the same store."""
    (here / "link").symlink_to(here)
    an_app("sqlite:///jobs.db")
    monkeypatch.setenv("WORKHORSE_DATABASE_URL", spelled.format(here=here))
    bootstrap.open_app(load())


@pytest.mark.parametrize(
    "spelled",
    [
        "postgresql://other:hunter2@here/jobs",
        "postgres://me@here:5432/jobs?sslmode=require",
        "postgresql://me@/jobs?host=here",
        "postgresql://here/?dbname=jobs&schema=workhorse",
    ],
)
def test_one_database_may_be_spelled_in_many_ways(
    monkeypatch: pytest.MonkeyPatch, spelled: str
) -> None:
    """By another role, with options, in another place of the URL: the same schema of it."""
    an_app("postgresql://me@here/jobs")
    monkeypatch.setenv("WORKHORSE_DATABASE_URL", spelled)
    bootstrap.open_app(load())


@pytest.mark.parametrize("other", ["schema=b", "host=there", "port=6543", "dbname=others"])
def test_two_databases_are_refused(monkeypatch: pytest.MonkeyPatch, other: str) -> None:
    """Whatever part of the URL tells them apart: two schemas are two stores as well."""
    an_app("postgresql://me@here/jobs")
    monkeypatch.setenv("WORKHORSE_DATABASE_URL", f"postgresql://me@here/jobs?{other}")
    with pytest.raises(ConfigurationError, match="keeps its jobs in"):
        bootstrap.open_app(load())


def test_two_stores_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs put into one would never be seen on the other: both are named, without passwords."""
    an_app("sqlite:///mine.db")
    monkeypatch.setenv("WORKHORSE_DATABASE_URL", "postgresql://u:hunter2@h/d")
    with pytest.raises(ConfigurationError) as refused:
        bootstrap.open_app(load())
    told = str(refused.value)
    assert "'theapp:app' keeps its jobs in sqlite:///mine.db" in told
    assert "WORKHORSE_DATABASE_URL says postgresql://u:***@h/d" in told
    assert "hunter2" not in told


def test_an_app_must_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without one there is nothing to run; the error says where to name it."""
    monkeypatch.delenv("WORKHORSE_APP")
    for need in (bootstrap.open_app, bootstrap.worker_config):
        with pytest.raises(ConfigurationError, match=r"No app is named\..+workhorse\.toml"):
            need(load())


def test_what_is_named_must_be_an_app(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another object of the module is not one."""
    an_app(None)
    monkeypatch.setenv("WORKHORSE_APP", "theapp:other")
    with pytest.raises(ConfigurationError, match="'theapp:other' is a int, not a Workhorse app"):
        bootstrap.open_app(load())


def test_where_the_jobs_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is configured, else what the app says, else the default; the app is asked only then."""
    an_app("sqlite:///mine.db")
    assert bootstrap.store_url(load()) == "sqlite:///mine.db"
    Path("theapp.py").write_text("raise RuntimeError('must not be imported')")
    sys.modules.pop("theapp", None)
    monkeypatch.setenv("WORKHORSE_DATABASE_URL", "sqlite:///configured.db")
    assert bootstrap.store_url(load()) == "sqlite:///configured.db"
    monkeypatch.delenv("WORKHORSE_DATABASE_URL")
    monkeypatch.delenv("WORKHORSE_APP")
    assert bootstrap.store_url(load()) == "sqlite:///.workhorse/jobs.db"


def test_looking_makes_no_store(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store is made by those who put something in; a look at one that is not there says so."""
    monkeypatch.setenv("WORKHORSE_DATABASE_URL", "sqlite:///made/jobs.db")
    with pytest.raises(Unavailable, match=r"There is no store at sqlite:///made/jobs\.db"):
        bootstrap.open_store(load())
    assert not (here / "made").exists()
    bootstrap.open_store(load(), create=True).close()
    bootstrap.open_store(load()).close()
    assert (here / "made" / "jobs.db").exists()


def test_every_setting_of_a_worker_reaches_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that can be set is forgotten on the way, through JSON to the children."""
    said: dict[str, Any] = {
        "queues": "a,b",
        "processes": 2,
        "concurrency": 3,
        "poll_interval": 0.5,
        "lease": 60,
        "renew": 7,
        "shutdown_timeout": 8,
        "cancel_grace": 9,
        "max_time": 10,
        "max_jobs": 11,
        "max_memory_mib": 12,
        "restart_delay": 13,
        "crash_loop_restarts": 14,
        "crash_loop_minutes": 15,
        "log_level": "debug",
        "log_format": "pretty",
        "retention_succeeded_days": 1,
        "retention_cancelled_days": 2,
        "retention_failed_days": "none",
        "retention_max_jobs": 3,
        "retention_max_mib": 4,
    }
    urls = {"database_url", "listen_url"}
    assert said.keys() == Settings.model_fields.keys() - urls - {"app"}
    monkeypatch.setenv("WORKHORSE_LISTEN_URL", "postgresql://h/d")
    for name, value in said.items():
        monkeypatch.setenv(f"WORKHORSE_{name.upper()}", str(value))
    config = bootstrap.worker_config(load(), burst=True)

    default, found = WorkerConfig(app=""), dataclasses.asdict(config)
    same = [name for name, value in found.items() if value == getattr(default, name)]
    assert same == [], "a field still has its default"
    assert config.app == "theapp:app"
    assert config.queues == ("a", "b")
    assert config.retention.succeeded == DAY
    assert config.retention.failed is None
    assert config.retention.max_bytes == 4 * 1024 * 1024
    assert config.listen_url == "postgresql://h/d"
    to_children = WorkerConfig.from_json(config.to_json())
    assert to_children == dataclasses.replace(config, listen_url=None), "a secret they do not need"
