"""The `scene` of a scenario: made anew for each test, and cleared away whatever happened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.scenarios.ledger import WHERE, Ledger
from tests.scenarios.scene import Scene
from tests.scenarios.stores import Kind, Site, chosen


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Play what is played on a store on each that this run takes, and the scenario is about."""
    if "site" not in metafunc.fixturenames:
        return
    marks = metafunc.definition.iter_markers("stores")
    about = {name for mark in marks for name in mark.args}
    heavy = metafunc.definition.get_closest_marker("heavy") is not None
    kinds = [kind for kind in chosen(heavy=heavy) if not about or kind.name in about]
    params = [pytest.param(kind, id=kind.name, marks=kind.needs) for kind in kinds]
    metafunc.parametrize("site", params, indirect=True)


@pytest.fixture
def site(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    """An empty store of the kind this run is about; the processes beside it meet in `tmp_path`."""
    kind: Kind = request.param
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    clusters = request.getfixturevalue("clusters")
    with kind.place(tmp_path, clusters) as site:
        monkeypatch.setenv("WORKHORSE_DATABASE_URL", site.url)
        yield site


@pytest.fixture
def make_scene(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Scene]]:
    """Return a function that sets a scene for the app of that name in `apps/`.

    Its store is that of the run, or another `site`.
    """
    with ExitStack() as stack:

        def make(app: str, site: Site = site) -> Scene:
            ledger = stack.enter_context(Ledger(tmp_path))
            monkeypatch.setenv("WORKHORSE_DATABASE_URL", site.url)
            monkeypatch.setenv(WHERE, ledger.where)
            return Scene(tmp_path, site, ledger, app, stack)

        yield make


@pytest.fixture
def scene(make_scene: Callable[..., Scene]) -> Scene:
    """A scene for `apps/stage.py`, which has a kind for every part to be played."""
    return make_scene("stage")
