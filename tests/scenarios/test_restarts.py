"""A server that crashes, and connections that are ended, again and again.

SCENARIO_RESTARTS and SCENARIO_JOBS make it longer.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest

from tests.scenarios.clients import Producer, settle_account
from tests.scenarios.facts import eventually
from tests.scenarios.procs import living
from tests.scenarios.scene import Scene
from tests.scenarios.stores import SERVERS, Site, own_server
from tests.services.pgbouncer import LOGIN_RETRY
from tests.services.postgres import Database
from workhorse.domain.job import State

pytestmark = pytest.mark.stores(*SERVERS)

RESTARTS = int(os.environ.get("SCENARIO_RESTARTS", "4"))
JOBS = int(os.environ.get("SCENARIO_JOBS", "6000"))
TERMINATE_EVERY = 3.0
RESUMES_WITHIN = 5.0


def resumes_within(site: Site) -> float:
    """Return how many seconds after the return of its server work must have resumed.

    So long it is left alone, too, from its return to its next crash.
    """
    return RESUMES_WITHIN + (LOGIN_RETRY if site.pooled else 0)


@contextlib.contextmanager
def ended_connections(server: Database) -> Iterator[list[int]]:
    """Terminate every backend of a database, again and again; give how many each time."""
    over = threading.Event()
    ended: list[int] = []

    def keep_ending() -> None:
        while not over.wait(TERMINATE_EVERY):
            with contextlib.suppress(psycopg.OperationalError):  # while the server is away
                ended.append(server.cluster.terminate_backends(server.name))

    ender = threading.Thread(target=keep_ending, name="ender")
    ender.start()
    try:
        yield ended
    finally:
        over.set()
        ender.join()


@pytest.mark.timeout(120 + 30 * RESTARTS + JOBS / 50)
def test_a_crashing_server_costs_nothing(scene: Scene) -> None:
    """Crashes of the server and ended connections: nothing lost, nothing recorded twice.

    Work resumes within 5 s of each return (behind a pooler, once it lets anybody in), in the
    processes that were there before.
    """
    server = scene.site.server
    worker = scene.worker(processes=2, concurrency=10, log_level="warning").ready()
    children = [child.pid for child in worker.children()]
    apart = resumes_within(scene.site)
    producer = Producer(scene, JOBS, RESTARTS * (apart + 1))
    producer.start()
    returns = []
    try:
        with ended_connections(server) as ended:
            for _ in range(RESTARTS):
                time.sleep(apart)
                server.cluster.restart("immediate")
                returns.append(time.monotonic_ns())
            producer.join()
    finally:
        producer.stop()
    account = settle_account(scene, producer.acknowledged)
    resumed = max(account.resumed_after(at) for at in returns)
    print(
        f"{RESTARTS} crashes, {sum(ended)} connections ended, "
        f"{len(producer.refusals)} enqueues refused; {account}; resumed after {resumed:.2f} s"
    )
    assert len(producer.acknowledged) == JOBS
    assert account.is_clean
    assert {end.outcome for end in account.content.attempts} == {"ok"}
    assert resumed < apart
    assert worker.exit_code is None
    assert [child.pid for child in worker.children()] == children


def test_an_outage_longer_than_the_lease(scene: Scene) -> None:
    """The server is away for two leases: no child outlives the lease, the supervisor stays.

    Work resumes within 5 s of the return, and what was cut off runs again.
    """
    lease = 3.0
    cluster = scene.site.server.cluster
    worker = scene.worker(lease=lease, renew=0.5, concurrency=4).ready()
    cut_off = scene.jobs.nap.enqueue(600)
    scene.until_told("start", job=cut_off.id)
    children = [child.pid for child in worker.children()]
    scene.jobs.quick.using(delay=2 * lease).enqueue()

    cluster.stop("immediate")
    away = time.monotonic()
    eventually(lambda: not living(children), within=2 * lease, every=0.01)
    ended = time.monotonic() - away
    eventually(lambda: time.monotonic() - away > 2 * lease)
    cluster.start()
    back = time.monotonic_ns()
    again = scene.until_told("start", job=cut_off.id, attempt=2)
    resumed = (again.at - back) / 1e9
    print(f"lease {lease:g} s: children gone after {ended:.2f} s; resumed after {resumed:.2f} s")
    assert ended < lease
    assert resumed < resumes_within(scene.site)
    assert worker.exit_code is None
    assert scene.outcomes(cut_off.id) == ["released"]


@pytest.fixture
def forgetful() -> Iterator[Site]:
    """A store on a server that takes its time to write down what was committed softly."""
    with own_server(settings={"wal_writer_delay": "10s"}) as site:
        yield site


@pytest.mark.stores("pg18")
@pytest.mark.parametrize("processes", [1, 2])
def test_a_crash_that_forgets_a_claim(
    make_scene: Callable[..., Scene], forgetful: Site, processes: int
) -> None:
    """The job is claimed again, under the same number, and begins while its handler still runs.

    One result is recorded, also where one child runs both.
    """
    scene = make_scene("stage", forgetful)
    worker = scene.worker(processes=processes).ready()
    job = scene.jobs.nap.enqueue(2.0)
    scene.until_told("start", job=job.id, attempt=1)
    forgetful.server.cluster.restart("immediate")
    scene.until_told("start", job=job.id, attempt=1, count=2)
    scene.until_told("end", job=job.id, attempt=1, count=2)
    assert scene.until(job.id).state is State.SUCCEEDED
    scene.until(scene.jobs.quick.enqueue().id)
    assert scene.outcomes(job.id) == ["ok"]
    assert [e.name for e in scene.events(job.id)] == ["enqueue", "claim", "complete"]
    assert worker.exit_code is None
