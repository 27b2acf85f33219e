"""SQL that is read as SQL: named blocks in ``sql/sqlite/*.sql``, one file per noun.

A block begins with ``-- name: claim``; the comment under it says the edge.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final

FOLDER: Final = files("workhorse.store") / "sql" / "sqlite"

_NAME: Final = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)
_COMMENT: Final = re.compile(r"^\s*--.*\n", re.MULTILINE)


@cache
def statements(noun: str) -> Mapping[str, str]:
    """Return the statements of one noun by their names."""
    text = (FOLDER / f"{noun}.sql").read_text(encoding="utf-8")
    _, *blocks = _NAME.split(text)
    names, bodies = blocks[::2], blocks[1::2]
    return MappingProxyType(
        {
            name: _COMMENT.sub("", body).strip().removesuffix(";")
            for name, body in zip(names, bodies, strict=True)
        }
    )


@cache
def migrations() -> tuple[tuple[int, str, str], ...]:
    """Return every migration as (number, name, script), in order."""
    scripts = (path for path in (FOLDER / "migrations").iterdir() if path.name.endswith(".sql"))
    return tuple(
        (int(path.name[:4]), path.name.removesuffix(".sql"), path.read_text(encoding="utf-8"))
        for path in sorted(scripts, key=lambda path: path.name)
    )
