"""SQL that is read as SQL: named blocks in ``sql/<dialect>/*.sql``, one file per noun.

A block begins with ``-- name: claim``; the comment under it says the edge. Block `claim` of
``jobs.sql`` is the statement ``jobs.claim``. What several blocks of a file have in common stands
there once, after ``-- part: matches``, and in each of them as ``{matches}``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final, NamedTuple

FOLDER: Final = files("workhorse.store") / "sql"

_HEAD: Final = re.compile(r"^-- (name|part): (\w+)\n", re.MULTILINE)
_PART: Final = re.compile(r"\{(\w+)\}")
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
        _, *found = _HEAD.split(path.read_text(encoding="utf-8"))
        parts: dict[str, str] = {}
        for what, name, text in zip(found[::3], found[1::3], found[2::3], strict=True):
            body = _COMMENT.sub("", text).strip().removesuffix(";")
            if what == "part":
                parts[name] = body
            else:
                yield f"{noun}.{name}", _whole(body, parts)


def _whole(body: str, parts: Mapping[str, str]) -> str:
    """Return a block with each part in its place."""
    return _PART.sub(lambda use: parts[use[1]], body)


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
