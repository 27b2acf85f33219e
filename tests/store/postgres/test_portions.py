"""Large arguments travel in several statements, and in one transaction all the same."""

from __future__ import annotations

from contextlib import closing

import pytest

from tests.services.postgres import Database
from tests.store.hands import a_job
from workhorse.domain.errors import InvalidJob
from workhorse.store.opening import open_store
from workhorse.store.postgres import enqueueing
from workhorse.store.protocol import JobFilter

SIZE = 100
"""Stands for the 8 MiB of a statement."""


@pytest.fixture(autouse=True)
def small_statements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enqueueing, "STATEMENT_SIZE", SIZE)


def arguments(*sizes: int) -> list[str]:
    return [f'{{"{place}":"{"x" * size}"}}' for place, size in enumerate(sizes)]


def test_each_statement_carries_what_it_can(database: Database) -> None:
    """One that is over the limit by itself goes alone; ids and arguments keep their order."""
    wanted = arguments(30, 30, 300, 30, 30, 30, 1, 1)
    database.cluster.log_statements(database.name)
    with closing(open_store(database.url)) as store:
        answers = store.enqueue([a_job(args=args) for args in wanted])
        sent = [text for text in database.cluster.statements(database.name) if "unnest" in text]
        assert len(sent) == 4
        jobs = {job.id: job.args for job in store.list_jobs(JobFilter(), limit=50)}
        assert [jobs[answer.id] for answer in answers] == wanted
        assert [answer.id for answer in answers] == sorted(jobs)


def test_all_or_none(database: Database) -> None:
    """What cannot be stored in a later statement takes the earlier ones along."""
    good = [a_job(args=args) for args in arguments(60, 60, 60)]
    with closing(open_store(database.url)) as store:
        with pytest.raises(InvalidJob):
            store.enqueue([*good, a_job(args='{"a":"\x00"}')])
        assert store.list_jobs(JobFilter()) == []
