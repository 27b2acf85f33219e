"""The SQL of every dialect: named blocks that say what they do, the same ones, each used."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import workhorse.store as package
from workhorse.store.statements import FOLDER, statements

DIALECTS = ("sqlite", "postgres")
STORE = Path(package.__file__).parent


def code_of(dialect: str) -> str:
    """Return the code that a dialect's statements serve."""
    folders = (STORE / "verbs", STORE / dialect)
    return "\n".join(path.read_text() for folder in folders for path in folder.glob("*.py"))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_each_block_says_what_it_does(dialect: str) -> None:
    """A name of its own, and a comment under it."""
    texts = [path.read_text() for path in (FOLDER / dialect).iterdir() if path.name[-4:] == ".sql"]
    commented = [re.findall(r"^-- name: \w+\n-- \S", text, re.MULTILINE) for text in texts]
    assert sum(map(len, commented)) == len(statements(dialect))
    assert sum(text.count("-- name:") for text in texts) == len(statements(dialect))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_each_block_is_used(dialect: str) -> None:
    """No block is left over from something that is gone."""
    code = code_of(dialect)
    built = {f"retention.drop_{what}" for what in ("jobs", "attempts", "events")}
    unused = [name for name in statements(dialect) if f'"{name}"' not in code]
    assert set(unused) <= built


def test_the_verbs_find_their_statements_in_every_dialect() -> None:
    """What the shared verbs name is there, with the same parameters."""
    shared = "\n".join(path.read_text() for path in (STORE / "verbs").glob("*.py"))
    named = set(re.findall(r'"(\w+\.\w+)"', shared))
    sqlite, postgres = (statements(dialect) for dialect in DIALECTS)
    for name in sorted(named & (sqlite.keys() | postgres.keys())):
        wanted = set(re.findall(r"(?<!:):(\w+)", sqlite[name])) - {"now"}
        assert wanted == set(re.findall(r"%\((\w+)\)[sb]", postgres[name])), name
