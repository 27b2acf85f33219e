"""A network that loses answers: it stalls without closing, or is cut when all is done."""

from __future__ import annotations

import itertools
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import Any, NamedTuple

import psycopg
import pytest

from tests.scenarios.facts import eventually
from tests.scenarios.procs import living, send
from tests.scenarios.scene import Scene
from tests.scenarios.stores import SERVERS
from tests.services.proxy import Proxy
from workhorse.domain.errors import Conflict, Unavailable
from workhorse.domain.job import NewJob, State
from workhorse.store.opening import open_store
from workhorse.store.protocol import ClaimRequest, JobFilter, NewWorker, Store
from workhorse.store.statements import statements

pytestmark = pytest.mark.stores(*SERVERS)

PATIENCE = 10.0
"""Longest an operation may take to fail, in seconds …"""
SLACK = 3.0
"""… on a machine at rest."""
CROWD = 12
"""Those who ask at once, by a store that has fewer connections."""
CLAIM = ClaimRequest(1, ("default",), ("nothing",), 10)


@pytest.fixture
def proxy(scene: Scene) -> Iterator[Proxy]:
    """What stands between the server and those who come `through` it."""
    with Proxy(scene.url) as proxy:
        yield proxy


def a_job(**options: Any) -> NewJob:
    return NewJob("nothing", "{}", **options)


def a_worker(store: Store) -> int:
    return store.register(NewWorker("here", 1, ["default"], ["nothing"], 1, 10, lease=600))


OPERATIONS: dict[str, Callable[[Store], object]] = {
    "enqueue": lambda store: store.enqueue([a_job()]),
    "enqueue of many": lambda store: store.enqueue([a_job()] * 100),
    "enqueue in a transaction": lambda store: store.enqueue([a_job(unique="one"), a_job()]),
    "enqueue by a key": lambda store: store.enqueue([a_job(idempotency_key="once")]),
    "turn": lambda store: store.turn(1, [], [], CLAIM),
    "renew": lambda store: store.renew(1, 600),
    "register": a_worker,
    "pause": lambda store: store.pause("night"),
    "get": lambda store: store.get(1),
    "list": lambda store: store.list_jobs(JobFilter()),
    "events": lambda store: store.events(),
    "held": lambda store: store.held(1),
    "look": lambda store: store.look(),
    "health": lambda store: store.health(),
}


class TestStall:
    """Nothing is closed, and nothing comes through."""

    def test_every_operation_fails_in_time(self, scene: Scene, proxy: Proxy) -> None:
        """Whatever is asked, and however many ask at once: `Unavailable` within 10 s.

        So it is on connections that are open and with new ones. Healed, all of it works.
        """
        a_worker(scene.store)
        scene.store.enqueue([a_job()])
        with ExitStack() as stack:
            other = stack.enter_context(Proxy(scene.url))
            asked = [
                (act, stack.enter_context(closing(open_store(way.through(scene.url)))))
                for way in (proxy, other)
                for act in OPERATIONS.values()
            ]
            asked += [(OPERATIONS["get"], asked[0][1])] * CROWD
            for act, store in asked:
                act(store)
            other.cut()
            for way in (other, proxy):
                way.heal()
                way.stall()
            threads = stack.enter_context(ThreadPoolExecutor(len(asked)))
            took = list(threads.map(fails_after, *zip(*asked, strict=True)))
            proxy.heal()
            other.heal()
            for act, store in asked:
                act(store)
        print(f"{len(took)} operations failed after {min(took):.1f} to {max(took):.1f} s")
        assert max(took) < PATIENCE + SLACK, dict(zip(OPERATIONS, took, strict=False))

    def test_a_worker_ends_its_children_in_time(self, scene: Scene, proxy: Proxy) -> None:
        """A stall that lasts: no child outlives the lease. Healed, the same worker goes on."""
        lease = 4.0
        worker = scene.worker(proxy.through(scene.url), lease=lease, renew=0.5).ready()
        job = scene.jobs.nap.enqueue(600)
        scene.until_told("start", job=job.id)
        children = [child.pid for child in worker.children()]
        proxy.stall()
        stalled = time.monotonic()
        eventually(lambda: not living(children), within=2 * lease, every=0.01)
        ended = time.monotonic() - stalled
        eventually(lambda: time.monotonic() - stalled > 1.5 * lease)
        proxy.heal()
        healed = time.monotonic_ns()
        resumed = (scene.until_told("start", job=job.id, attempt=2).at - healed) / 1e9
        print(
            f"lease {lease:g} s: children gone after {ended:.2f} s; resumed after {resumed:.2f} s"
        )
        assert ended < lease
        assert worker.exit_code is None
        assert scene.outcomes(job.id) == ["released"]


class Edge(NamedTuple):
    """Something a client does to a job, and how to see whether it is done."""

    prepare: Callable[[Store], int]
    act: Callable[[Store, int], object]
    event: str
    whole: int = 1
    """How many events it writes: all of them, or none."""


def waiting(store: Store) -> int:
    return store.enqueue([a_job()])[0].id


def running(store: Store) -> int:
    job = waiting(store)
    store.turn(a_worker(store), [], [], CLAIM)
    return job


def cancelled(store: Store) -> int:
    job = waiting(store)
    store.cancel(job)
    return job


EDGES = {
    "enqueue": Edge(lambda _: 0, lambda store, _: store.enqueue([a_job()]), "enqueue"),
    "enqueue of several": Edge(
        lambda _: 0,
        lambda store, _: store.enqueue([a_job(), a_job(priority=1), a_job(priority=2)]),
        "enqueue",
        whole=3,
    ),
    "cancel": Edge(waiting, lambda store, job: store.cancel(job), "cancel"),
    "requeue": Edge(cancelled, lambda store, job: store.requeue(job), "requeue"),
}


class TestCut:
    """The connection is reset when the server has done what it was asked, and before it says so."""

    @pytest.mark.parametrize("name", EDGES)
    def test_an_edge_is_done_as_a_whole_or_not_at_all(
        self, scene: Scene, proxy: Proxy, name: str
    ) -> None:
        """Cut after each of its statements in turn: never in part, and asked again it is done."""
        edge, direct = EDGES[name], scene.store
        with closing(open_store(proxy.through(scene.url))) as store:
            for nth in itertools.count(1):
                job = edge.prepare(direct)
                before = written(direct, edge.event)
                store.get(1)
                cut = proxy.cut_after("", nth=nth)
                try:
                    edge.act(store, job)
                except Unavailable:
                    assert cut.is_set()
                else:
                    break
                done = written(direct, edge.event) - before
                assert done in {0, edge.whole}
                with suppress(Conflict):  # where it was done there is no such edge any more
                    edge.act(store, job)
                    done += edge.whole
                assert written(direct, edge.event) - before == done >= edge.whole
        print(f"{name}: {nth - 1} statements")
        assert nth > 1, "nothing was cut"

    def test_a_request_to_end_is_kept(self, scene: Scene, proxy: Proxy) -> None:
        """Cut after each statement of the cancel of a running job: asked again, it is told."""
        with closing(open_store(proxy.through(scene.url))) as store:
            for nth in itertools.count(1):
                job = running(scene.store)
                store.get(1)
                proxy.cut_after("", nth=nth)
                try:
                    store.cancel(job)
                except Unavailable:
                    store.cancel(job)
                else:
                    break
                assert scene.job(job).cancel_requested
        assert nth > 1, "nothing was cut"

    @pytest.mark.parametrize("size", [1, 3])
    def test_a_key_makes_one_job(self, scene: Scene, proxy: Proxy, size: int) -> None:
        """Cut after each statement of an enqueue by key: again with the key, it makes no other."""
        with closing(open_store(proxy.through(scene.url))) as store:
            for nth in itertools.count(1):
                jobs = [a_job(idempotency_key=f"{nth} {place}") for place in range(size)]
                before = written(scene.store, "enqueue")
                store.get(1)
                proxy.cut_after("", nth=nth)
                try:
                    store.enqueue(jobs)
                except Unavailable:
                    again = [store.enqueue(jobs) for _ in range(2)]
                else:
                    break
                assert written(scene.store, "enqueue") - before == size
                assert [job.id for job in again[0]] == [job.id for job in again[1]]
        print(f"{size} by key: {nth - 1} statements")
        assert nth > 1, "nothing was cut"

    @pytest.mark.parametrize("statement", ["claim.claim", "settle.complete", "settle.others"])
    def test_a_turn_is_neither_lost_nor_done_twice(
        self, scene: Scene, proxy: Proxy, statement: str
    ) -> None:
        """What was claimed is run, each attempt once; how it ended is recorded once."""
        worker = scene.worker(proxy.through(scene.url), concurrency=4).ready()
        jobs: list[int] = []
        for _ in range(5):
            cut = proxy.cut_after(statements("postgres")[statement].partition("%(")[0])
            jobs += [scene.jobs.stumbler.enqueue(times).id for times in (0, 1, 0, 1)]
            assert cut.wait(PATIENCE)
        for place, job in enumerate(jobs):
            assert scene.until(job).state is State.SUCCEEDED
            assert scene.outcomes(job) == ["error", "ok"][1 - place % 2 :]
            scene.until_told("start", count=1 + place % 2, job=job)
            assert scene.starts(job) == 1 + place % 2
            assert len(scene.events(job, "complete")) == 1
        assert len(worker.children()) == 1
        assert not worker.logs("child ended")
        assert not worker.logs("lease lost")


def written(store: Store, event: str) -> int:
    """Return how many events of a name there are."""
    return sum(one.name == event for one in store.events(limit=100_000))


class TestLateClaim:
    """A claim that the server carries out when its client is no longer there to hear of it."""

    def test_what_it_claims_is_run(self, scene: Scene, proxy: Proxy) -> None:
        """Its connection is lost, and its child goes on: the child finds it, and runs it, once."""
        scene.worker(proxy.through(scene.url), poll_interval=0.3, **scene.site.deaf).ready()
        with held_up_claim(scene) as job:
            proxy.cut()
            proxy.heal()
            eventually(lambda: waiting_claims(scene) >= 2, what="the child to claim again")
        assert scene.until(job).state is State.SUCCEEDED
        assert scene.outcomes(job) == ["ok"]
        assert scene.starts(job) == 1

    def test_what_it_claims_for_the_dead_is_given_back(self, scene: Scene) -> None:
        """Its child is killed: the job is given back, and another child runs it."""
        worker = scene.worker(poll_interval=0.3, **scene.site.deaf).ready()
        with held_up_claim(scene) as job:
            (child,) = worker.children()
            send(child.pid, signal.SIGKILL)
            eventually(lambda: worker.logs("child ended"))
        assert scene.until(job).state is State.SUCCEEDED
        assert scene.outcomes(job) == ["released", "ok"]
        assert scene.starts(job) == 1


@contextmanager
def held_up_claim(scene: Scene) -> Iterator[int]:
    """Enqueue a job, whose claim waits at the server until this is left; give the job's id."""
    assert scene.until(scene.jobs.quick.enqueue().id).state is State.SUCCEEDED
    scene.store.pause("default")
    job = scene.jobs.quick.enqueue()
    with psycopg.connect(scene.site.server.url) as holder:
        holder.execute("lock table workhorse.jobs in exclusive mode")
        scene.store.resume("default")
        eventually(lambda: waiting_claims(scene), what="the claim to wait")
        yield job.id


def waiting_claims(scene: Scene) -> int:
    """Return how many claims wait for a lock."""
    found = scene.site.server.sql(
        "select count(*) from pg_stat_activity"
        " where wait_event_type = 'Lock' and application_name = 'workhorse claims'"
    )
    return int(found[0][0])


def fails_after(act: Callable[[Store], object], store: Store) -> float:
    """Return after how many seconds an operation has failed."""
    began = time.monotonic()
    with pytest.raises(Unavailable):
        act(store)
    return time.monotonic() - began
