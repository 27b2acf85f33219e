"""Random edges by several workers on a real store, beside a model of a few dictionaries.

After every step: the store is in the model's state; each running job has one holder; attempts have
only grown; and the record, replayed edge by edge, gives the state of every job, by edges of the
table alone. A failing run is shrunk, printed as the steps to repeat, and played first the next
time. ``--hypothesis-seed`` plays a run again, ``SCENARIO_EXAMPLES`` says how many there are.
"""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule, run_state_machine_as_test

from tests.store.backends import Backend
from tests.store.hands import ERROR, FATAL, OK
from tests.store.play import QUEUES, Play
from workhorse.domain.job import NewJob
from workhorse.domain.outcome import (
    AttemptOutcome,
    Cancelled,
    Completed,
    Crashed,
    Lost,
    Rejected,
    Released,
    Snoozed,
    TimedOut,
)
from workhorse.domain.retry import Backoff
from workhorse.domain.transitions import settle
from workhorse.store.protocol import ClaimRequest, Settled

EXAMPLES = int(os.environ.get("SCENARIO_EXAMPLES", "25"))
OVER_A_SOCKET = 5
"""How many times fewer runs there are where a statement is a round trip."""
STEPS = 50
WORKERS = 3

pick = st.integers(0, 15)
"""Which of those there are."""
chance = st.sampled_from([0.0, 0.5, 1.0])
outcome = st.sampled_from(
    [
        OK,
        Completed('"done"'),
        ERROR,
        ERROR,
        FATAL,
        Rejected("no"),
        Snoozed(0),
        Snoozed(5),
        TimedOut(1),
        Cancelled(),
        Released("drained"),
        Released("suspect", solo=True),
        Crashed(exit_signal="SIGKILL"),
        Lost("as if by a rescue"),
    ]
)
a_job = st.builds(
    NewJob,
    kind=st.sampled_from(["work", "work", "work", "odd"]),
    queue=st.sampled_from(QUEUES),
    priority=st.sampled_from([0, 0, 10, -10]),
    delay=st.sampled_from([0.0, 0.0, 0.0, 5.0]),
    unique=st.sampled_from([None, None, "k1", "k2"]),
    idempotency_key=st.sampled_from([None, None, None, "k1", "k2", "k3"]),
    max_attempts=st.integers(1, 3),
    backoff=st.just(Backoff(base=4, factor=2, cap=20, jitter=0.5)),
)
request = st.builds(
    ClaimRequest,
    child=st.just(1),
    queues=st.sampled_from([("a", "b"), ("b", "a"), ("a",), ("b",)]),
    kinds=st.sampled_from([("work",), ("odd", "work"), ("odd", "work")]),
    limit=st.integers(1, 5),
    solo=st.sampled_from([False, False, False, True]),
)


class RandomEdges(Play):
    """What clients, workers and supervisors may do, in any order."""

    def the_worker(self, which: int) -> int:
        """Mostly one that may claim; every fourth time any that has ever been."""
        workers = self.able_workers() if which % 4 < 3 else []
        workers = workers or list(self.model.workers)
        return workers[which // 4 % len(workers)]

    def the_job(self, which: int) -> int:
        """One of the latest."""
        return self.ids[-1 - which % len(self.ids)]

    @initialize(jobs=st.lists(a_job, min_size=4, max_size=8))
    def begin(self, jobs: list[NewJob]) -> None:
        self.register()
        self.register()
        self.enqueue_jobs(jobs)

    @rule(jobs=st.lists(a_job, min_size=2, max_size=5))
    def enqueue(self, jobs: list[NewJob]) -> None:
        self.enqueue_jobs(jobs)

    @precondition(lambda self: self.ids)
    @rule(jobs=st.lists(st.tuples(a_job, st.lists(pick, max_size=2)), min_size=1, max_size=3))
    def enqueue_after(self, jobs: list[tuple[NewJob, list[int]]]) -> None:
        self.enqueue_jobs(
            [replace(job, after=[self.the_job(which) for which in after]) for job, after in jobs]
        )

    @precondition(lambda self: self.ids)
    @rule(doing=st.sampled_from(["cancel", "cancel", "requeue", "requeue", "delete"]), which=pick)
    def change_one(self, doing: str, which: int) -> None:
        getattr(self, doing)(self.the_job(which))

    @rule(doing=st.sampled_from(["pause", "resume", "resume"]), queue=st.sampled_from(QUEUES))
    def change_a_queue(self, doing: str, queue: str) -> None:
        getattr(self, doing)(queue)

    @rule(which=pick, wanted=request)
    def claim(self, which: int, wanted: ClaimRequest) -> None:
        self.turn(self.the_worker(which), [], wanted)

    @rule(
        which=pick,
        wanted=request,
        ends=st.lists(st.tuples(outcome, chance), min_size=3, max_size=5),
    )
    def work(
        self, which: int, wanted: ClaimRequest, ends: list[tuple[AttemptOutcome, float]]
    ) -> None:
        """A worker's ordinary day: most of what it claims ends."""
        worker = self.the_worker(which)
        claimed = self.turn(worker, [], wanted)
        self.turn(
            worker,
            [
                Settled(job.id, job.attempt, settle(job, how, chance=spread))
                for job, (how, spread) in zip(claimed, ends, strict=False)
            ],
            None,
        )

    @precondition(lambda self: self.handles)
    @rule(
        ends=st.lists(st.tuples(pick, outcome, chance), min_size=2, max_size=5),
        wanted=st.none() | request,
    )
    def end(
        self, ends: list[tuple[int, AttemptOutcome, float]], wanted: ClaimRequest | None
    ) -> None:
        """The latest attempts of one worker, the forgotten ones among them."""
        latest = self.handles[::-1]
        worker = latest[ends[0][0] % len(latest)][0]
        mine = [job for holder, job in latest if holder == worker]
        chosen = {}
        for which, how, spread in ends:
            job = mine[which % len(mine)]
            chosen[job.id, job.attempt] = settle(job, how, chance=spread)
        self.turn(worker, [Settled(*fence, change) for fence, change in chosen.items()], wanted)

    @precondition(lambda self: self.handles)
    @rule(which=pick, how=outcome)
    def interfere(self, which: int, how: AttemptOutcome) -> None:
        """No worker ends the attempt of another, or speaks for it, even if it knows its number."""
        worker, job = self.handles[-1 - which % len(self.handles)]
        stranger = self.the_worker(which * 7 + 3)
        for one in (worker, stranger):
            self.speak(one, job)
        if stranger != worker:
            self.turn(stranger, [Settled(job.id, job.attempt, settle(job, how))], None)

    @rule(
        seconds=st.sampled_from([0.5, 5.0, 5.0, 20.0, 31.0]),
        renewed=st.sampled_from([True, True, True, False]),
        limit=st.integers(1, 6),
    )
    def let_time_pass(self, seconds: float, renewed: bool, limit: int) -> None:
        """Mostly with every lease renewed; then what is due is promoted."""
        self.clock.advance(seconds)
        for worker in self.model.workers if renewed else ():
            self.renew(worker)
        self.promote(limit)

    @rule(
        doing=st.sampled_from(["register", "register", "drain", "retire", "lose", "look"]),
        which=pick,
    )
    def change_a_worker(self, doing: str, which: int) -> None:
        worker = self.the_worker(which)
        match doing:
            case "register":
                if len(self.able_workers()) < WORKERS:
                    self.register()
            case "lose" | "look":
                self.rescue(worker, expired_only=doing == "look")
            case _:
                getattr(self, doing)(worker)

    @rule(
        doing=st.sampled_from(["sweep", "rescue", "prune", "requeue", "reopen"]),
        number=st.integers(0, 6),
    )
    def maintain(self, doing: str, number: int) -> None:
        match doing:
            case "sweep":
                self.sweep()
            case "rescue":
                self.rescue_the_expired()
            case "prune":
                self.prune(keep=2 * number, batch=1 + number)
            case "requeue":
                self.requeue_many(1 + number)
            case _:
                self.reopen(number % 2)


@pytest.mark.timeout(900)  # a failing run is shrunk for up to five minutes
def test_random_edges(backend: Backend) -> None:
    """No edge off the table, one holder per job, attempts only grow, the record tells the state."""
    fewer = 1 if backend.name == "sqlite" else OVER_A_SOCKET
    run_state_machine_as_test(
        type("RandomEdgesOfOneBackend", (RandomEdges,), {"backend": backend}),
        settings=settings(
            max_examples=max(1, EXAMPLES // fewer),
            stateful_step_count=STEPS,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
