"""SQL that is read as SQL: named blocks in ``sql/<dialect>/*.sql``, one file per noun.

A block begins with ``-- name: claim``; the comment under it says the edge. Block `claim` of
``jobs.sql`` is the statement ``jobs.claim``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final, NamedTuple

FOLDER: Final = files("workhorse.store") / "sql"

_NAME: Final = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)
_COMMENT: Final = re.compile(r"^\s*--.*\n", re.MULTILINE)


class Migration(NamedTuple):
    """One step of the schema."""

    number: int
    name: str
    script: str


@cache
def statements(dialect: str) -> Mapping[str, str]:
    """Return every statement of a dialect by its name, ``noun.block``."""
    return MappingProxyType(dict(_blocks(dialect)))


def _blocks(dialect: str) -> Iterator[tuple[str, str]]:
    for path in (FOLDER / dialect).iterdir():
        noun, _, ending = path.name.partition(".")
        if ending != "sql":
            continue
        _, *blocks = _NAME.split(path.read_text(encoding="utf-8"))
        for name, body in zip(blocks[::2], blocks[1::2], strict=True):
            yield f"{noun}.{name}", _COMMENT.sub("", body).strip().removesuffix(";")


@cache
def migrations(dialect: str) -> tuple[Migration, ...]:
    """Return every migration of a dialect, in order."""
    scripts = (path for path in (FOLDER / dialect / "migrations").iterdir() if path.name[0] == "0")
    return tuple(
        Migration(
            int(path.name[:4]), path.name.removesuffix(".sql"), path.read_text(encoding="utf-8")
        )
        for path in sorted(scripts, key=lambda path: path.name)
    )
