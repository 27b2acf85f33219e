"""The Python of README.md and docs/ passes the type checker, as its reader would have it."""

from __future__ import annotations

import re
from pathlib import Path

from tests.docs.blocks import blocks
from tests.docs.test_pages import PAGES
from tests.typing.strict import mypy_strict


def test_the_code_of_the_pages_passes_mypy_strict(tmp_path: Path) -> None:
    """Each page is a module with the page's own line numbers; all are looked at in one run."""
    for page in PAGES:
        _write(page, tmp_path / page.stem.lower())
    ran = mypy_strict(tmp_path, "--disable-error-code=top-level-await", ".")
    assert ran.returncode == 0, ran.stdout + ran.stderr


def _write(page: Path, folder: Path) -> None:
    """Make a page a package: its blocks are one module, each file it shows another."""
    folder.mkdir()
    (folder / "__init__.py").touch()
    markdown = page.read_text()
    lines = [""] * len(markdown.splitlines())
    for block in blocks(markdown):
        if block.language == "python":
            text = block.text.splitlines()
            if block.file_name:
                (folder / block.file_name).write_text(block.text)
            else:
                lines[block.line - 1 : block.line - 1 + len(text)] = text
    files = "|".join(file.stem for file in folder.glob("*.py"))
    (folder / "page.py").write_text(
        re.sub(rf"\bfrom ({files}) import", r"from .\1 import", "\n".join(lines))
    )
