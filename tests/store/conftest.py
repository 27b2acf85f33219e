"""A fresh, empty store of each kind, a second look at it, and a clock that a test moves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.store.backends import BACKENDS, Backend, OnCluster
from tests.store.hands import SettableClock
from workhorse.store.protocol import Store


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Backend:
    """The kind of store this run is about."""
    kind: Backend | OnCluster = request.param
    if isinstance(kind, OnCluster):
        return kind(request.getfixturevalue("clusters"))
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
def store(backend: Backend, url: str, clock: SettableClock) -> Iterator[Store]:
    """The store of the test."""
    with backend.follow(url, clock), closing(backend.open(url, clock)) as store:
        yield store


@pytest.fixture
def other(backend: Backend, store: Store, url: str, clock: SettableClock) -> Iterator[Store]:
    """The same store, opened a second time: another process's view of it."""
    with closing(backend.open(url, clock)) as other:
        yield other
