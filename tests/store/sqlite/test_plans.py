"""The hot path reads the jobs it is about, and never all there are, whatever has been counted."""

from __future__ import annotations

import re
from typing import Final

import pytest

from tests.store.hands import put_many
from workhorse.store.protocol import Store
from workhorse.store.sqlite import SqliteStore
from workhorse.store.statements import statements

SQL: Final = statements("sqlite")
HOT: Final = [
    *(name for name in SQL if re.match(r"(claim|settle)\.(?!create)", name)),
    "events.add",
    "events.enqueued_one",
    "jobs.enqueue",
    "jobs.enqueue_one",
]
WHOLE: Final = re.compile(r"SCAN (jobs|j|history|events|attempts)$")
"""A table read from end to end, not by an index that holds no more than is wanted."""


@pytest.mark.parametrize("name", HOT)
def test_no_table_is_read_whole(store: Store, name: str) -> None:
    """With a thousand jobs waiting and the planner's numbers fresh."""
    assert isinstance(store, SqliteStore)
    put_many(store, 1000)
    writer = store._db._writer
    assert writer is not None
    writer.execute("analyze")
    parameters = dict.fromkeys(re.findall(r":(\w+)", SQL[name]), "[1]")
    plan = [step for *_, step in writer.execute(f"explain query plan {SQL[name]}", parameters)]
    assert not [step for step in plan if WHOLE.match(step)], plan
