"""The SQL: named blocks that SQLite understands, each used, the hot ones by an index."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest
from workhorse.store.sqlite.statements import FOLDER, statements

import workhorse.store.sqlite as package

CODE = "\n".join(
    path.read_text(encoding="utf-8") for path in Path(package.__file__).parent.glob("*.py")
)
SCRIPTS = {
    path.name.removesuffix(".sql"): path.read_text(encoding="utf-8")
    for path in FOLDER.iterdir()
    if path.name.endswith(".sql")
}
BLOCKS = [(noun, name) for noun in SCRIPTS for name in statements(noun)]
HOT = [
    ("claim", "next"),
    ("claim", "claim"),
    ("claim", "claim_event"),
    ("claim", "claimed"),
    ("claim", "held"),
    ("claim", "cancel_requests"),
    ("settle", "load_completed"),
    ("settle", "load"),
    ("settle", "finish"),
    ("settle", "recorded"),
    ("jobs", "state"),
    ("jobs", "holder"),
    ("jobs", "due"),
    ("jobs", "next_due"),
    ("jobs", "end_requested"),
    ("dependencies", "waiting"),
    ("dependencies", "all_ready"),
    ("events", "of_job"),
    ("retention", "older"),
    ("queues", "solo_waiting"),
    ("workers", "expired"),
]


@pytest.mark.parametrize("noun", SCRIPTS)
def test_each_block_says_what_it_does(noun: str) -> None:
    """A name of its own, and a comment under it."""
    names = re.findall(r"^-- name: (\w+)\n-- \S", SCRIPTS[noun], re.MULTILINE)
    assert names == list(statements(noun))
    assert SCRIPTS[noun].count("-- name:") == len(names)


def explained(raw: sqlite3.Connection, noun: str, name: str) -> list[str]:
    """Return SQLite's plan for one statement."""
    if noun == "settle" and name != "create_settling":
        raw.execute(statements("settle")["create_settling"])
    sql = statements(noun)[name]
    parameters = dict.fromkeys(re.findall(r":(\w+)", sql))
    return [row[3] for row in raw.execute(f"explain query plan {sql}", parameters)]


@pytest.mark.parametrize(("noun", "name"), BLOCKS)
def test_sqlite_understands_it(raw: sqlite3.Connection, noun: str, name: str) -> None:
    """Every table, column and function that a block names is there."""
    explained(raw, noun, name)


@pytest.mark.parametrize(("noun", "name"), BLOCKS)
def test_it_is_used(noun: str, name: str) -> None:
    """No block is left over from something that is gone."""
    assert re.search(rf'["\']{name}["\']', CODE), f"{noun}.{name} is used nowhere"


@pytest.mark.parametrize(("noun", "name"), HOT)
def test_the_past_does_not_slow_it_down(raw: sqlite3.Connection, noun: str, name: str) -> None:
    """What is asked all the time finds its rows by an index, whatever the tables hold."""
    plan = explained(raw, noun, name)
    scans = [line for line in plan if re.match(r"SCAN (jobs|history|attempts|events)\b", line)]
    assert [line for line in scans if "INDEX" not in line] == [], plan


@pytest.mark.parametrize(("noun", "name"), [("claim", "next"), ("jobs", "due")])
def test_what_is_next_is_read_in_its_order(raw: sqlite3.Connection, noun: str, name: str) -> None:
    """The next jobs are not sorted out of all that wait: the first of the index are the next."""
    plan = explained(raw, noun, name)
    assert not any("TEMP B-TREE" in line for line in plan), plan
