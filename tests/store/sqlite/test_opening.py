"""A URL says which file, and how durable."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from workhorse.domain.errors import ConfigurationError
from workhorse.store.opening import is_postgres, open_store
from workhorse.urls import refuse_missing


@pytest.mark.parametrize(
    ("url", "file"),
    [
        ("sqlite:///jobs.db", "jobs.db"),
        ("sqlite:///deep/er/jobs.db", "deep/er/jobs.db"),
        ("sqlite:///with%20space%3F.db", "with space?.db"),
        ("sqlite:///e%23f+g.db", "e#f+g.db"),
        ("sqlite:///caf%C3%A9.db", "café.db"),
        ("sqlite:///jobs.db?durability=normal", "jobs.db"),
        ("sqlite:///jobs.db?durability=full", "jobs.db"),
    ],
)
def test_a_relative_path(workdir: Path, url: str, file: str) -> None:
    """Three slashes: from the current folder. What is missing of it is made."""
    with closing(open_store(url)) as store:
        assert (workdir / file).is_file()
        assert store.url == f"sqlite:///{workdir / file}"
        assert store.run_dir == (workdir / f"{file}-run")


def test_an_absolute_path(tmp_path: Path) -> None:
    """Four slashes: from the root."""
    with closing(open_store(f"sqlite:///{tmp_path}/jobs.db")):
        assert (tmp_path / "jobs.db").is_file()


def test_a_store_stays_where_it_was_opened(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another current folder later on does not move it."""
    with closing(open_store("sqlite:///jobs.db")) as store:
        (workdir / "elsewhere").mkdir()
        monkeypatch.chdir(workdir / "elsewhere")
        store.pause("q")
        assert store.queues()[0].paused
        assert not list(Path().iterdir())


@pytest.mark.parametrize("use", [open_store, refuse_missing, is_postgres])
def test_a_fragment_is_refused(workdir: Path, use: Callable[[str], object]) -> None:
    """What stands behind a # would be left out in silence: it would be another file."""
    with pytest.raises(ConfigurationError, match="has a #") as refused:
        use("sqlite:///e#f.db")
    assert "%23" in str(refused.value.hint)
    assert list(workdir.iterdir()) == []


@pytest.mark.parametrize(
    "url",
    [
        "",
        "jobs.db",
        "sqlite:",
        "sqlite://",
        "sqlite:///",
        "sqlite://host/jobs.db",
        "sqlite:///:memory:",
        "sqlite:///%3Amemory%3A",
        "sqlite:///~/jobs.db",
        "sqlite:///~me/jobs.db",
        "mysql://host/jobs",
        "sqlite:///jobs.db?durability=never",
        "sqlite:///jobs.db?durability=",
        "sqlite:///jobs.db?timeout=5",
    ],
)
def test_a_url_that_is_none_of_ours(workdir: Path, url: str) -> None:
    """`ConfigurationError` that says what is right; nothing is made on the disk."""
    with pytest.raises(ConfigurationError) as caught:
        open_store(url)
    assert caught.value.hint
    assert not list(workdir.iterdir())
