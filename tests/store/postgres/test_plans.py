"""The hot statements find their rows by an index, whatever the tables hold or once held."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import closing
from typing import Any, LiteralString

import psycopg
import pytest

from tests.services.fixtures import TEMPLATE
from tests.services.postgres import Cluster, Database
from tests.store.hands import Worker
from workhorse.domain.job import FINAL, State
from workhorse.store.opening import open_store
from workhorse.store.postgres import PostgresStore
from workhorse.store.protocol import TURN_BYTES, JobFilter
from workhorse.store.rows import LAST_ID
from workhorse.store.statements import statements
from workhorse.store.verbs.client import selection
from workhorse.store.verbs.measuring import Measure
from workhorse.store.verbs.retention import LEAST_MISSED

SQL = statements("postgres")
LONG = "long"
BACKLOG = 50_000
FILL = """
insert into workhorse.jobs (kind, queue, state, priority, args, max_attempts, enqueued_at, run_at)
select 'work', 'default', 'available', 0, '{}', 5, 0, 0 from generate_series(1, %s)
"""
PAST = """
insert into workhorse.history (
       id, kind, queue, state, priority, solo, args, attempt, failures, crashes, lost, max_attempts,
       enqueued_at, run_at, finished_at)
select 1000000 + n, 'work', 'default', 'succeeded', 0, false, '{}', 1, 0, 0, 0, 5, 0, 0, n
  from generate_series(1, %s) n
"""
RECORD = """
insert into workhorse.events (at, job_id, attempt, name) select 0, 1000000 + n, 1, 'claim'
  from generate_series(1, %s) n
"""
LINES = """
insert into workhorse.events (at, job_id, attempt, name) select 0, 1 + n / 5000, 1, 'log'
  from generate_series(1, %s) n
"""
CLAIM = {
    "queues": ["urgent", "default"], "kinds": ["work"], "solo": False, "child": 1,
    "ranks": "{-9,-9}", "after": "{0,0}",
}  # fmt: skip
ENDED = {"ids": "{1,2,3}", "attempts": "{1,1,1}", "results": []}
HOT: dict[str, dict[str, Any]] = {
    "claim.claim": CLAIM | {"limit": 100, "bytes": TURN_BYTES},
    "claim.cancel_requests": {},
    "settle.complete": ENDED,
    "settle.recorded": {"id": 1, "attempt": 1, "outcome": "ok"},
    "jobs.due_in": {},
    "jobs.due": {"limit": 100},
    "dependencies.due": {"limit": 100},
    "workers.look": {},
    "retention.drop_old_workers": {"age": 0},
    "retention.counts": {"spans": '[["succeeded", 0, 1000], ["failed", 0, 1000]]'},
    "retention.weights": {"state": "succeeded", "since": 0, "until": 1000, "limit": 100},
    "events.of_job": {"job_id": 1, "after": 0, "output": True, "limit": 100},
}

CANCELLING: dict[str, dict[str, Any]] = {
    "dependencies.forget": {"ids": "[7]"},
    "jobs.cancellable": {"ids": "[7]"},
    "jobs.cancel": {"rows": '[[7, "why"]]'},
    "jobs.drop_cancelled": {"ids": "[7]"},
}
GROWING = {"jobs", "history", "events", "attempts", "dependencies"}


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", []):
        yield from nodes(below)


def explained(database: Database, statement: str, **more: Any) -> list[dict[str, Any]]:
    """Return the nodes of the plan of a statement, made for these very parameters."""
    with psycopg.connect(database.url) as connection:
        sql = f"explain (format json) {SQL[statement]}"
        (found,) = connection.execute(sql.encode(), more).fetchone() or ()
    return list(nodes(found[0]["Plan"]))


def whole_tables(plan: list[dict[str, Any]]) -> list[str]:
    """Return the big tables that a plan reads from end to end."""
    scans = [node["Relation Name"] for node in plan if node["Node Type"] == "Seq Scan"]
    return [name for name in scans if name in GROWING]


@pytest.fixture
def filled(cluster: Cluster) -> Iterator[Database]:
    """A long queue, and a past as long; it is filled once for each cluster, and then copied."""
    if not cluster.has_database(LONG):
        template = cluster.create_database(LONG, template=TEMPLATE)
        with closing(open_store(template.url)) as store:
            assert Worker(store).id == 1
        template.sql(FILL, BACKLOG)
        template.sql(PAST, BACKLOG)
        template.sql(RECORD, BACKLOG)
        template.sql("vacuum analyze workhorse.jobs, workhorse.history, workhorse.events")
    database = cluster.create_database(template=LONG)
    yield database
    cluster.drop_database(database.name)


@pytest.mark.parametrize("statement", HOT)
def test_a_long_queue_and_a_long_past_do_not_slow_it_down(filled: Database, statement: str) -> None:
    """No table that grows is read from end to end."""
    plan = explained(filled, statement, worker=1, **HOT[statement])
    assert whole_tables(plan) == [], json.dumps(plan, indent=1)


@pytest.mark.parametrize("follow", ["unblock_after", "lock_waiting"])
def test_who_waited_is_found_by_an_index(filled: Database, follow: LiteralString) -> None:
    """However many wait, those that waited for a few jobs are found without reading a table."""
    filled.sql(
        "insert into workhorse.dependencies select n, n + 1 from generate_series(1, 50000) n"
    )
    filled.sql("vacuum analyze workhorse.dependencies")
    with psycopg.connect(filled.url) as connection:
        connection.execute(f"select workhorse.{follow}('{{2,3}}', 100)")
        read = connection.execute(
            "select relname from pg_stat_xact_user_tables where seq_scan > 0"
        ).fetchall()
    assert read == []


@pytest.mark.parametrize("ended", FINAL)
def test_what_is_too_old_is_found_by_its_state_and_age(filled: Database, ended: State) -> None:
    """What is kept for longer is not read on the way to what is not."""
    filled.sql("update workhorse.history set state = 'failed' where id % 3 = 0")
    filled.sql("update workhorse.history set state = 'cancelled' where id % 3 = 1")
    filled.sql("vacuum analyze workhorse.history")
    plan = explained(filled, "retention.older", state=ended, age=0, limit=100)
    (found,) = (node for node in plan if node["Node Type"].startswith("Index"))
    own = "history_age" if ended is State.SUCCEEDED else "history_unsuccessful_age"
    assert found["Index Name"] == own
    assert "(finished_at <" in found["Index Cond"]


@pytest.mark.parametrize("plans", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("ended", FINAL)
@pytest.mark.parametrize("statement", ["retention.older", "retention.weights", "retention.counts"])
def test_the_first_that_ended_are_read_alone(
    filled: Database, statement: str, ended: State, plans: str
) -> None:
    """However many are kept, in a plan that is kept as well: no more than are asked for."""
    filled.sql("update workhorse.history set state = 'failed' where id % 3 = 0")
    filled.sql("update workhorse.history set state = 'cancelled' where id % 3 = 1")
    filled.sql("vacuum analyze workhorse.history")
    asked = {"state": ended, "age": 0, "since": 1000, "until": 40_000, "limit": 50}
    asked["spans"] = json.dumps([[ended, 1000, 1150]])
    with psycopg.connect(filled.url) as connection:
        connection.execute(f"set plan_cache_mode = {plans}")
        connection.execute(SQL[statement].encode(), asked, prepare=True)
        ((read,),) = connection.execute(
            "select seq_tup_read + idx_tup_fetch from pg_stat_xact_user_tables"
            " where relname = 'history'"
        ).fetchall()
    assert read <= 2 * 50


@pytest.mark.parametrize("joined_by", ["nestloop", "hashjoin", "mergejoin"])
def test_finished_jobs_are_measured_in_the_order_of_their_ends(
    filled: Database, joined_by: str
) -> None:
    """However they are found: the next read begins where the last of one has ended."""
    filled.sql("update workhorse.history set finished_at = 1000000 - finished_at")
    filled.sql("delete from workhorse.history where id > 1003500")
    filled.sql("vacuum analyze workhorse.history")
    for other in {"nestloop", "hashjoin", "mergejoin"} - {joined_by}:
        filled.sql(f"alter database {filled.name} set enable_{other} = off")
    with closing(open_store(filled.url)) as store:
        assert isinstance(store, PostgresStore)
        read, reads = store._db.read, 0

        def reading(statement: str, **asked: Any) -> list[Any]:
            nonlocal reads
            reads += 1
            assert reads < 20, "it has no end"
            return read(statement, **asked)

        assert not Measure(LEAST_MISSED).look(reading, patience=math.inf)


@pytest.mark.parametrize("backlog", [5_000, 50_000])
def test_who_is_cancelled_is_found_by_an_index(
    store: PostgresStore, database: Database, backlog: int
) -> None:
    """In a long chain each is cancelled by itself: what else waits is not read each time."""
    database.sql(FILL, backlog)
    database.sql(
        "insert into workhorse.dependencies select n, n + 1 from generate_series(1, %s) n", backlog
    )
    database.sql("vacuum analyze workhorse.jobs, workhorse.dependencies")
    for statement, parameters in CANCELLING.items():
        plan = explained(database, statement, **parameters)
        assert whole_tables(plan) == [], f"{statement}: {json.dumps(plan, indent=1)}"


@pytest.mark.parametrize("late", [0, 1, 50_000])
def test_whose_time_has_come_is_found_by_an_index(
    store: PostgresStore, database: Database, late: int
) -> None:
    """However many are blocked, only those are looked over that had a time to wait for."""
    database.sql(FILL, BACKLOG)
    database.sql("update workhorse.jobs set state = 'blocked', run_at = (id <= %s)::integer", late)
    database.sql("insert into workhorse.dependencies select id, id + 1 from workhorse.jobs")
    database.sql("vacuum analyze workhorse.jobs, workhorse.dependencies")
    for statement in ("jobs.due_in", "dependencies.due"):
        plan = explained(database, statement, limit=100)
        assert whole_tables(plan) == [], f"{statement}: {json.dumps(plan, indent=1)}"
        assert "jobs_blocked_until" in {node.get("Index Name") for node in plan}


@pytest.mark.parametrize("plans", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize(
    ("states", "jobs", "history"),
    [
        ([], 50, 50),
        ([State.AVAILABLE], 50, 0),
        ([State.RUNNING], BACKLOG, 0),
        ([State.SUCCEEDED], 0, 50),
        ([State.FAILED, State.CANCELLED], 0, 30),
        ([State.AVAILABLE, State.FAILED], 50, 30),
    ],
)
def test_a_list_is_read_from_where_its_states_are(
    filled: Database, states: list[State], jobs: int, history: int, plans: str
) -> None:
    """A page of it reads no job that cannot be of it, in a plan that is kept as well."""
    filled.sql("update workhorse.history set state = 'failed' where id <= 1000030")
    filled.sql("vacuum analyze workhorse.history")
    with psycopg.connect(filled.url) as connection:
        connection.execute(f"set plan_cache_mode = {plans}")
        asked = {**selection(JobFilter(states=states)), "limit": 50, "before": LAST_ID}
        connection.execute(SQL["jobs.list"].encode(), asked, prepare=True)
        from_history, from_jobs = connection.execute(
            "select seq_tup_read + coalesce(idx_tup_fetch, 0) from pg_stat_xact_user_tables"
            " where relname in ('jobs', 'history') order by relname"
        ).fetchall()
    assert from_jobs[0] <= jobs
    assert from_history[0] <= history


@pytest.mark.parametrize("analyzed", [False, True])
def test_pruning_reads_no_more_than_goes(
    store: PostgresStore, database: Database, *, analyzed: bool
) -> None:
    """However many lines a few jobs have logged, those of the rest are left in peace."""
    database.sql(LINES, 200_000)
    if analyzed:
        database.sql("vacuum analyze workhorse.events")
    ids = json.dumps([1, 2, 3])
    counted = explained(database, "retention.one_too_many", ids=ids, most=20_000)
    dropped = explained(database, "retention.drop_events", ids=ids)
    assert whole_tables(counted) == whole_tables(dropped) == []


def test_what_is_next_is_read_in_its_order(filled: Database) -> None:
    """The next jobs are the first of the index: nothing is sorted but those that were claimed."""
    plan = explained(filled, "claim.claim", worker=1, **HOT["claim.claim"])
    (pick,) = [node for node in plan if node.get("Index Name") == "jobs_next"]
    assert pick["Node Type"] in {"Index Scan", "Index Only Scan"}
    (write,) = [node for node in plan if node["Node Type"] == "Tid Scan"]
    assert write["Relation Name"] == "jobs"
    sorts = [node for node in plan if node["Node Type"] == "Sort"]
    assert all("array_position" in node["Sort Key"][0] for node in sorts)


def test_a_plan_is_not_fooled_by_what_the_table_once_held(
    store: PostgresStore, database: Database
) -> None:
    """Statistics from when the queue was empty do not make a claim read all of it."""
    database.sql("vacuum analyze workhorse.jobs")
    worker = Worker(store)
    for _ in range(10):
        worker.claim(10)  # a plan that were kept would be made here
    database.sql(FILL, BACKLOG)
    plan = explained(database, "claim.claim", worker=1, **HOT["claim.claim"])
    assert whole_tables(plan) == []
    assert len(worker.claim(100)) == 100
