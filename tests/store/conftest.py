"""A fresh, empty store of each kind, a second look at it, and a clock that a test moves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.store.backends import BACKENDS, Backend
from tests.store.hands import SettableClock
from workhorse.store.opening import open_store
from workhorse.store.protocol import Store


@pytest.fixture(params=BACKENDS, ids=lambda backend: backend.name)
def backend(request: pytest.FixtureRequest) -> Backend:
    """The kind of store this run is about."""
    kind: Backend = request.param
    return kind


@pytest.fixture
def url(backend: Backend, tmp_path: Path) -> Iterator[str]:
    """Where an empty store of the test's own is."""
    with backend.place(tmp_path) as url:
        yield url


@pytest.fixture
def clock() -> SettableClock:
    """The clock of the stores below."""
    return SettableClock()


@pytest.fixture
def store(url: str, clock: SettableClock) -> Iterator[Store]:
    """The store of the test."""
    with closing(open_store(url, clock=clock)) as store:
        yield store


@pytest.fixture
def other(store: Store, url: str, clock: SettableClock) -> Iterator[Store]:
    """The same store, opened a second time: another process's view of it."""
    with closing(open_store(url, clock=clock)) as other:
        yield other
