"""The domain is pure: no clock, no loop, no disk, no chance, no third party."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from workhorse import domain

MODULES = sorted(Path(domain.__path__[0]).rglob("*.py"))
MAY_BE_IMPORTED = {
    *("__future__", "collections.abc", "dataclasses", "enum", "functools", "types", "typing"),
    *("math", "re"),
}
MAY_NOT_BE_CALLED = {"__import__", "input", "open", "print"}


def imported(tree: ast.Module) -> Iterator[str]:
    """Yield what a module imports, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_module_knows_nothing_of_the_world(path: Path) -> None:
    """Time and chance are its arguments; all it imports is known to touch nothing."""
    tree = ast.parse(path.read_text())
    ours = (name for name in imported(tree) if not name.startswith("workhorse.domain"))
    assert set(ours) <= MAY_BE_IMPORTED
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert not names & MAY_NOT_BE_CALLED
