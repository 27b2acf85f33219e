"""The public names, and what importing and using them costs."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import workhorse

HEAVY = {"pydantic", "pydantic_settings", "click", "structlog", "sqlalchemy", "rich", "uvloop"}


def loaded_after(code: str, folder: Path) -> set[str]:
    """Return the modules that a fresh interpreter has loaded after `code`."""
    code += "\nimport sys, json; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_every_public_name_is_there() -> None:
    """Each name of `__all__` can be had, `dir` shows it, and no other is promised."""
    assert workhorse.__all__ == sorted(workhorse.__all__, key=lambda n: (n != "__version__", n))
    for name in workhorse.__all__:
        assert getattr(workhorse, name) is not None
        assert name in dir(workhorse)
    with pytest.raises(AttributeError, match="module 'workhorse' has no attribute 'Wokrhorse'"):
        _ = workhorse.Wokrhorse  # type: ignore[attr-defined]


def test_a_type_checker_sees_the_same_names() -> None:
    """What is loaded late at run time is imported plainly for type checkers, name by name."""
    tree = ast.parse(Path(workhorse.__file__).read_text())
    typed = {
        (node.module, alias.name)
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname
    }
    late = {
        (f"workhorse.{module}", name) for module, names in workhorse._HOME.items() for name in names
    }
    assert typed == late


def test_importing_the_package_loads_next_to_nothing(workdir: Path) -> None:
    """No module of ours but the package itself, and nothing of others."""
    loaded = loaded_after("import workhorse", workdir)
    assert {name for name in loaded if name.startswith("workhorse")} == {"workhorse"}
    assert not loaded & (HEAVY | {"sqlite3", "asyncio", "pydantic_core"})


def test_plain_kinds_never_load_pydantic(workdir: Path) -> None:
    """An app whose handlers take plain data is defined, enqueued to and looked into without it."""
    loaded = loaded_after(
        "from workhorse import Context, Reject, Retry, Snooze, Workhorse\n"
        "app = Workhorse('sqlite:///jobs.db')\n"
        "@app.job(retry=Retry(max_attempts=3))\n"
        "def resize(ctx: Context, picture: str, sizes: list[int], more: dict = {}) -> dict:\n"
        "    return {}\n"
        "handle = resize.enqueue('a', [1], more={'b': 2.5})\n"
        "assert handle.refresh().state == 'available'\n"
        "assert resize('a', []) == {}\n"
        "app.close()\n",
        workdir,
    )
    assert not loaded & HEAVY


def test_a_typed_kind_loads_pydantic_when_it_is_first_used(workdir: Path) -> None:
    """Registering costs nothing yet."""
    code = (
        "import sys, uuid\n"
        "from workhorse import Workhorse\n"
        "app = Workhorse('sqlite:///jobs.db')\n"
        "@app.job\n"
        "def take(key: uuid.UUID) -> None: ...\n"
        "assert 'pydantic' not in sys.modules\n"
        "take.bind(uuid.uuid4())\n"
    )
    assert "pydantic" in loaded_after(code, workdir)
