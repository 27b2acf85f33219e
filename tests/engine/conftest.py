"""A store of the test's own, a workshop on it, and a scene for what needs a whole worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.engine.kinds import FOLDER, IMPORT
from tests.engine.workshop import Workshop
from tests.scenarios.conftest import make_scene, scene
from tests.scenarios.stores import Site
from tests.store.hands import SettableClock
from workhorse.store.opening import open_store
from workhorse.store.protocol import Store

__all__ = ["make_scene", "scene"]


@pytest.fixture
def clock() -> SettableClock:
    """The clock of `store`."""
    return SettableClock()


@pytest.fixture
def store(tmp_path: Path, clock: SettableClock) -> Iterator[Store]:
    """A store whose time the test moves."""
    with closing(open_store(f"sqlite:///{tmp_path / 'jobs.db'}", clock=clock)) as store:
        yield store


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Where a scene of these tests has its store."""
    site = Site(f"sqlite:///{tmp_path / 'jobs.db'}")
    monkeypatch.setenv("WORKHORSE_DATABASE_URL", site.url)
    return site


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Workshop]]:
    """Return a function that makes a workshop, on a store whose time passes."""
    monkeypatch.setenv(FOLDER, str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    monkeypatch.delenv(IMPORT, raising=False)
    with closing(open_store(f"sqlite:///{tmp_path / 'jobs.db'}")) as store:

        def make(**config: Any) -> Workshop:
            return Workshop(store, tmp_path, **config)

        yield make
