"""Apps to play with: one whose jobs wait in the store, one that runs them at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from workhorse import Workhorse


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Workhorse]:
    """An app on a store of its own; nothing runs its jobs unless the test does."""
    app = Workhorse(f"sqlite:///{tmp_path / 'jobs.db'}")
    yield app
    app.close()


@pytest.fixture
def inline(tmp_path: Path) -> Iterator[Workhorse]:
    """An app that runs each job where it is enqueued."""
    app = Workhorse(f"sqlite:///{tmp_path / 'inline.db'}", inline=True)
    yield app
    app.close()
