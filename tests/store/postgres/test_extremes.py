"""Numbers that a store meets seldom, and must not stop at."""

from __future__ import annotations

import time

from tests.services.postgres import Database
from tests.store.hands import ERROR, Worker, put, the
from workhorse.domain.job import State
from workhorse.domain.outcome import Completed, Failed, Failure
from workhorse.domain.retry import Backoff
from workhorse.store.postgres import PostgresStore

DEPENDENTS = 20_000
FAN_OUT = """
with added as (
    insert into workhorse.jobs
           (kind, queue, state, priority, args, max_attempts, enqueued_at, run_at)
    select 'work', 'default', 'blocked', 0, '{}', 5, workhorse.clock(), workhorse.clock()
      from generate_series(1, %s)
    returning id
)
insert into workhorse.dependencies (job_id, waits_for) select id, %s from added
"""


def test_tens_of_thousands_may_wait_for_one_job(store: PostgresStore, database: Database) -> None:
    """Its end is written down, and sweeps let all of them go, well within a statement's time."""
    awaited = put(store, priority=9)
    database.sql(FAN_OUT, DEPENDENTS, awaited)
    began = time.monotonic()
    Worker(store).run(Completed())
    while store.sweep():
        pass
    assert time.monotonic() - began < 5
    assert store.counts()[State.AVAILABLE] == DEPENDENTS
    assert database.sql("select count(*) from workhorse.dependencies") == [(0,)]


def test_tens_of_thousands_may_wait_for_a_job_that_fails(
    store: PostgresStore, database: Database
) -> None:
    """Sweeps cancel all of them, well within the time that its worker waits for an answer."""
    awaited = put(store, priority=9, max_attempts=1)
    database.sql(FAN_OUT, DEPENDENTS, awaited)
    began = time.monotonic()
    Worker(store).run(ERROR)
    while store.sweep():
        pass
    assert time.monotonic() - began < 8
    assert store.counts()[State.CANCELLED] == DEPENDENTS
    assert database.sql("select distinct error::json ->> 'message' from workhorse.history") == [
        (f"job {awaited} failed",),
        ("it went wrong",),
    ]
    assert database.sql("select count(*) from workhorse.dependencies") == [(0,)]


def test_a_job_may_fail_more_often_than_a_small_number_tells(
    store: PostgresStore, database: Database
) -> None:
    """A budget goes up to two thousand millions, and is counted to the end."""
    job = put(store, max_attempts=2**31 - 1, backoff=Backoff(base=0, jitter=0))
    database.sql("update workhorse.jobs set failures = 32767")
    Worker(store).run(Failed(Failure("ValueError", "no")))
    assert the(store, job).failures == 32_768
