"""A small linter on Python's own syntax tree: few rules, each exact, and no dependency.

The codes are those of pyflakes, pycodestyle and flake8-bugbear, as ruff prints them:

- ``E999`` the file is not Python
- ``F401`` an import that nothing in the file uses
- ``F541`` an f-string without a placeholder
- ``E711`` a comparison with None by ``==`` or ``!=``
- ``E722`` a bare ``except:``
- ``B006`` a list, dict or set as a default argument

A line that ends in ``# noqa`` is let through.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple


class Finding(NamedTuple):
    """One thing to put right."""

    line: int
    code: str
    message: str


def lint_folder(folder: Path, heard: Callable[[int, int, str], None]) -> dict[str, Any]:
    """Lint every ``.py`` file under `folder`, calling `heard(done, total, file)` after each.

    Returns the number of ``files`` and the ``findings``: file, line, code, message.
    """
    paths = sorted(folder.rglob("*.py"))
    findings: list[dict[str, Any]] = []
    for done, path in enumerate(paths, start=1):
        name = path.relative_to(folder).as_posix()
        found = lint(path.read_text(encoding="utf-8"))
        findings += [{"file": name, **finding._asdict()} for finding in found]
        heard(done, len(paths), name)
    return {"files": len(paths), "findings": findings}


def lint(source: str) -> list[Finding]:
    """Return what is to be said of one file, in the order of its lines."""
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        return [Finding(error.lineno or 1, "E999", f"syntax error: {error.msg}")]
    lines = source.splitlines()
    found = [*_unused_imports(tree), *_bad_nodes(tree)]
    return sorted(f for f in found if not lines[f.line - 1].rstrip().endswith("# noqa"))


def _unused_imports(tree: ast.Module) -> Iterator[Finding]:
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    used |= {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            continue
        for alias in node.names:
            bound = alias.asname or alias.name.partition(".")[0]
            reexported = alias.asname == alias.name
            if bound not in used and bound != "*" and not reexported:
                yield Finding(alias.lineno, "F401", f"`{alias.name}` imported but unused")


def _bad_nodes(tree: ast.Module) -> Iterator[Finding]:
    # The tree holds a format spec, as in f"{x:02}", as an f-string of its own.
    nodes = list(ast.walk(tree))
    specs = {id(node.format_spec) for node in nodes if isinstance(node, ast.FormattedValue)}
    for node in nodes:
        match node:
            case ast.JoinedStr(values=values) if id(node) not in specs and not any(
                isinstance(value, ast.FormattedValue) for value in values
            ):
                yield Finding(node.lineno, "F541", "f-string without any placeholders")
            case ast.Compare():
                yield from _none_comparisons(node)
            case ast.ExceptHandler(type=None):
                yield Finding(node.lineno, "E722", "do not use bare `except`")
            case ast.arguments():
                yield from _mutable_defaults(node)
            case _:
                pass


def _none_comparisons(node: ast.Compare) -> Iterator[Finding]:
    sides = [node.left, *node.comparators]
    for place, operator in enumerate(node.ops):
        pair = sides[place : place + 2]
        is_none = any(isinstance(side, ast.Constant) and side.value is None for side in pair)
        if is_none and isinstance(operator, ast.Eq | ast.NotEq):
            yield Finding(node.lineno, "E711", "comparison to `None` by `==` or `!=`")


def _mutable_defaults(node: ast.arguments) -> Iterator[Finding]:
    for default in [*node.defaults, *filter(None, node.kw_defaults)]:
        if isinstance(default, ast.List | ast.Dict | ast.Set):
            yield Finding(default.lineno, "B006", "mutable value as a default argument")
