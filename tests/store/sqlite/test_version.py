"""Versions of SQLite that are too old, or can lose pages, are known, and told."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from workhorse.domain.errors import ConfigurationError
from workhorse.store import opening
from workhorse.store.opening import open_store
from workhorse.store.protocol import Store
from workhorse.store.sqlite.health import may_corrupt


@pytest.mark.parametrize(
    ("version", "may"),
    [
        ((3, 6, 23), False),
        ((3, 7, 0), True),
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 44, 7), False),
        ((3, 45, 0), True),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 0), True),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 52, 0), False),
        ((4, 0, 0), False),
    ],
)
def test_which_versions_have_the_defect(version: tuple[int, int, int], may: bool) -> None:
    """From 3.7.0 to 3.51.2, but for the branches that were repaired."""
    assert may_corrupt(version) is may


@pytest.mark.parametrize(("version", "told"), [((3, 46, 1), True), ((3, 51, 3), False)])
def test_the_defect_is_told(
    store: Store, monkeypatch: pytest.MonkeyPatch, version: tuple[int, int, int], told: bool
) -> None:
    """`doctor` and `health` read of it as a warning that says what to do."""
    monkeypatch.setattr(sqlite3, "sqlite_version_info", version)
    found = [text for level, text in store.health().findings if level == "warn"]
    assert any("WAL-reset" in text and "3.51.3" in text for text in found) is told


def test_one_that_is_too_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused in words before a file is made, not by the first statement it cannot read."""
    monkeypatch.setattr(opening, "LEAST_SQLITE", (99, 1, 0))
    with pytest.raises(ConfigurationError, match=r"is too old: a store needs 99\.1\.0") as refused:
        open_store(f"sqlite:///{tmp_path}/jobs.db")
    assert sqlite3.sqlite_version in str(refused.value)
    assert list(tmp_path.iterdir()) == []
