"""The SQL that SQLite gets: it understands it all, and does the hot parts by an index."""

from __future__ import annotations

import re
import sqlite3

import pytest

from workhorse.store.statements import statements

BLOCKS = statements("sqlite")
HOT = [
    "claim.next",
    "claim.claim",
    "claim.claim_event",
    "claim.claimed",
    "claim.held",
    "claim.cancel_requests",
    "settle.load_completed",
    "settle.load",
    "settle.finish",
    "settle.recorded",
    "jobs.holder",
    "jobs.due",
    "jobs.due_in",
    "jobs.end_requested",
    "dependencies.waiting",
    "dependencies.all_ready",
    "dependencies.due",
    "events.of_job",
    "retention.older",
    "retention.counts",
    "retention.drop_old_workers",
    "retention.weights",
    "retention.weights_of",
    "workers.expired",
    "jobs.lock",
    "jobs.lock_ended",
    "workers.look",
    "dependencies.need_sweep",
]


def explained(raw: sqlite3.Connection, statement: str) -> list[str]:
    """Return SQLite's plan for one statement."""
    if statement.startswith("settle.") and statement != "settle.create_settling":
        raw.execute(BLOCKS["settle.create_settling"])
    parameters = dict.fromkeys(re.findall(r":(\w+)", BLOCKS[statement]))
    return [row[3] for row in raw.execute(f"explain query plan {BLOCKS[statement]}", parameters)]


@pytest.mark.parametrize("statement", BLOCKS)
def test_sqlite_understands_it(raw: sqlite3.Connection, statement: str) -> None:
    """Every table, column and function that a block names is there."""
    explained(raw, statement)


@pytest.mark.parametrize("statement", HOT)
def test_the_past_does_not_slow_it_down(raw: sqlite3.Connection, statement: str) -> None:
    """What is asked all the time finds its rows by an index, whatever the tables hold."""
    plan = explained(raw, statement)
    scans = [line for line in plan if re.match(r"SCAN (jobs|history|attempts|events)\b", line)]
    assert [line for line in scans if "INDEX" not in line] == [], plan


@pytest.mark.parametrize("statement", ["claim.next", "jobs.due", "dependencies.due"])
def test_what_is_next_is_read_in_its_order(raw: sqlite3.Connection, statement: str) -> None:
    """The next jobs are not sorted out of all that wait: the first of the index are the next."""
    plan = explained(raw, statement)
    assert not any("TEMP B-TREE" in line for line in plan), plan
