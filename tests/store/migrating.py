"""A migration more than this Workhorse knows."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest

from workhorse.store.statements import Migration, migrations


def one_more_for(
    monkeypatch: pytest.MonkeyPatch, dialect: str, *knowing: ModuleType
) -> Callable[[str], None]:
    """Return a function that lets these modules know one migration more, by its script."""

    def know(script: str) -> None:
        known = migrations(dialect)
        number = known[-1].number + 1
        more = (*known, Migration(number, f"{number:04}_next", script))
        for module in knowing:
            monkeypatch.setattr(module, "migrations", lambda _dialect: more)

    return know
