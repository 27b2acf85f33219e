"""The `scene` of a scenario: made anew for each test, and cleared away whatever happened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.scenarios.ledger import WHERE, Ledger
from tests.scenarios.scene import Scene


@pytest.fixture
def make_scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Scene]]:
    """Return a function that sets a scene for the app of that name in `apps/`."""
    with ExitStack() as stack:

        def make(app: str) -> Scene:
            ledger = stack.enter_context(Ledger(tmp_path))
            monkeypatch.setenv("WORKHORSE_DATABASE_URL", f"sqlite:///{tmp_path / 'jobs.db'}")
            monkeypatch.setenv(WHERE, ledger.where)
            return Scene(tmp_path, ledger, app, stack)

        yield make


@pytest.fixture
def scene(make_scene: Callable[[str], Scene]) -> Scene:
    """A scene for `apps/stage.py`, which has a kind for every part to be played."""
    return make_scene("stage")
