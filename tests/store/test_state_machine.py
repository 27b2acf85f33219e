"""Random edges by several workers on a real store, beside a model of a few dictionaries.

After every step: the store is in the model's state; each running job has one holder; attempts have
only grown; and the record, replayed edge by edge, gives the state of every job, by edges of the
table alone. A failing run is shrunk, printed as the steps to repeat, and played first the next
time. ``--hypothesis-seed`` plays a run again, ``SCENARIO_EXAMPLES`` says how many there are.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.store.backends import Backend
from tests.store.hands import ALL, ERROR, FATAL, OK, SettableClock, Worker
from tests.store.model import Model, ModelWorker
from workhorse.domain.errors import WorkhorseError
from workhorse.domain.events import Output, OutputLine
from workhorse.domain.job import FINAL, Claimed, NewJob, State
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
from workhorse.domain.transitions import EDGES, Verb, settle
from workhorse.store.opening import open_store
from workhorse.store.protocol import ClaimRequest, JobFilter, Retention, Settled, Store

EXAMPLES = int(os.environ.get("SCENARIO_EXAMPLES", "30"))
STEPS = 40
LEASE = 30.0
WORKERS = 3
QUEUES = ("a", "b")
FACTS = (
    "state", "attempt", "failures", "crashes", "lost", "outcome", "enqueued_at", "run_at",
    "finished_at",
)  # fmt: skip
"""What a job and the model's have in common."""

pick = st.integers(0, 31)
"""Which of those there are."""
chances = st.sampled_from([0.0, 0.5, 1.0])
outcomes = st.sampled_from(
    [
        OK,
        Completed('"done"'),
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
new_jobs = st.builds(
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
requests = st.builds(
    ClaimRequest,
    child=st.just(1),
    queues=st.sampled_from([("a", "b"), ("b", "a"), ("a",), ("b",)]),
    kinds=st.sampled_from([("work",), ("work",), ("odd", "work")]),
    limit=st.integers(1, 4),
    solo=st.sampled_from([False, False, True]),
)


def next_state(name: str, data: Any) -> State:
    """Return where an event of a verb says that its job went."""
    match Verb(name):
        case Verb.ENQUEUE:
            return State(data.get("state", State.AVAILABLE))
        case Verb.RESCUE:
            return State(data["state"])
        case verb:
            (target,) = EDGES[verb].targets
            return target


class Play(RuleBasedStateMachine):
    """Two stores on the same data and the model, moved together."""

    backend: ClassVar[Backend]

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        self.url = self.stack.enter_context(self.backend.place(folder))
        self.clock = SettableClock()
        self.stack.enter_context(self.backend.follow(self.url, self.clock))
        self.stores = [open_store(self.url, clock=self.clock) for _ in range(2)]
        self.model = Model()
        self.handles: list[tuple[int, Claimed]] = []
        self.ids: list[int] = []
        self.steps = 0
        self.cursor = 0
        self.replayed: dict[int, State] = {}
        self.attempts: dict[int, int] = {}

    def teardown(self) -> None:
        for store in self.stores:
            store.close()
        self.stack.close()

    @property
    def store(self) -> Store:
        """The one whose turn it is: what one has written the other must know."""
        self.steps += 1
        return self.stores[self.steps % 2]

    @property
    def now(self) -> int:
        return self.clock.now

    def a_worker(self, which: int) -> int:
        """Mostly one that may claim; every fourth time any that has ever been."""
        able = [w for w in self.model.workers if self.model.lease(w, self.now)[1]]
        workers = list(self.model.workers) if which % 4 == 3 or not able else able
        return workers[which // 4 % len(workers)]

    def a_job(self, which: int) -> int:
        return self.ids[which % len(self.ids)]

    def both(self, real: Any, model: Any) -> None:
        """Do the same to both: the same answer, or the same refusal."""
        try:
            expected = model()
        except WorkhorseError as refusal:
            with pytest.raises(type(refusal)):
                real()
        else:
            assert real() == expected

    # ── clients ─────────────────────────────────────────────────────────────────────────────

    @rule(jobs=st.lists(new_jobs, min_size=1, max_size=4))
    def enqueue(self, jobs: list[NewJob]) -> None:
        for job, answer in zip(jobs, self.store.enqueue(jobs), strict=True):
            self.model.enqueue(job, answer, self.now)
            if not answer.existing:
                self.ids.append(answer.id)

    @precondition(lambda self: self.ids)
    @rule(job=new_jobs, after=st.lists(pick, min_size=1, max_size=3))
    def enqueue_after(self, job: NewJob, after: list[int]) -> None:
        waits = NewJob(
            job.kind, queue=job.queue, delay=job.delay, unique=job.unique,
            after=[self.a_job(which) for which in after],
        )  # fmt: skip
        try:
            self.model.may_wait_for(waits.after)
        except WorkhorseError as refusal:
            with pytest.raises(type(refusal)):
                self.store.enqueue([job, waits])
        else:
            (answer,) = self.store.enqueue([waits])
            self.model.enqueue(waits, answer, self.now)
            if not answer.existing:
                self.ids.append(answer.id)

    @precondition(lambda self: self.ids)
    @rule(which=pick)
    def cancel(self, which: int) -> None:
        job_id = self.a_job(which)
        self.both(lambda: self.store.cancel(job_id), lambda: self.model.cancel(job_id, self.now))

    @precondition(lambda self: self.ids)
    @rule(which=pick)
    def requeue(self, which: int) -> None:
        job_id = self.a_job(which)
        self.both(lambda: self.store.requeue(job_id), lambda: self.model.requeue(job_id, self.now))

    @rule(limit=st.integers(1, 4))
    def requeue_many(self, limit: int) -> None:
        expected = self.model.requeue_many(limit, self.now)
        assert self.store.requeue_many(JobFilter(), limit=limit) == expected

    @precondition(lambda self: self.ids)
    @rule(which=pick)
    def delete(self, which: int) -> None:
        job_id = self.a_job(which)
        self.both(lambda: self.store.delete(job_id), lambda: self.model.delete(job_id))
        self._forget_what_is_gone()

    @rule(queue=st.sampled_from(QUEUES), pause=st.booleans())
    def pause_or_resume(self, queue: str, pause: bool) -> None:
        if pause:
            self.store.pause(queue)
            self.model.paused.add(queue)
        else:
            self.store.resume(queue)
            self.model.paused.discard(queue)

    # ── workers ─────────────────────────────────────────────────────────────────────────────

    @initialize()
    def first_worker(self) -> None:
        self.register()

    @precondition(lambda self: self.able_workers < WORKERS)
    @rule()
    def register(self) -> None:
        worker = Worker(self.store, queues=QUEUES, lease=LEASE)
        assert worker.id not in self.model.workers
        self.model.workers[worker.id] = ModelWorker(worker.id, self.now + round(LEASE * 1000))

    @property
    def able_workers(self) -> int:
        return sum(self.model.lease(worker, self.now)[1] for worker in self.model.workers)

    @rule(which=pick, request=requests)
    def claim(self, which: int, request: ClaimRequest) -> None:
        self._turn(self.a_worker(which), [], request)

    @rule(which=pick, request=requests, ends=st.lists(st.tuples(outcomes, chances), min_size=4))
    def claim_and_end(
        self, which: int, request: ClaimRequest, ends: list[tuple[AttemptOutcome, float]]
    ) -> None:
        """A worker's ordinary day: some of what it claimed ends at once."""
        worker = self.a_worker(which)
        claimed = self._turn(worker, [], request)
        self._turn(
            worker,
            [
                Settled(job.id, job.attempt, settle(job, outcome, chance=chance))
                for job, (outcome, chance) in zip(claimed, ends, strict=False)
            ],
            None,
        )

    def _turn(
        self, worker: int, settled: list[Settled], request: ClaimRequest | None
    ) -> list[Claimed]:
        """One turn, of both; return what was claimed."""
        turn = self.store.turn(worker, settled, (), request)
        assert sorted(turn.stale) == sorted(self.model.settle(worker, settled, self.now))
        claimed = [] if request is None else self.model.claim(worker, request, self.now)
        assert list(turn.claimed) == claimed
        assert turn.lease_valid == self.model.lease(worker, self.now)[0]
        self.handles += [(worker, job) for job in claimed]
        return claimed

    @precondition(lambda self: self.handles)
    @rule(
        ends=st.lists(st.tuples(pick, outcomes, chances), min_size=1, max_size=4),
        request=st.none() | requests,
    )
    def settle(
        self, ends: list[tuple[int, AttemptOutcome, float]], request: ClaimRequest | None
    ) -> None:
        """The latest attempts, and now and then long forgotten ones, of one worker."""
        latest = self.handles[::-1]
        worker = latest[ends[0][0] % len(latest)][0]
        mine = [job for holder, job in latest if holder == worker]
        chosen = {
            (job.id, job.attempt): Settled(job.id, job.attempt, settle(job, outcome, chance=chance))
            for job, outcome, chance in (
                (mine[which % len(mine)], outcome, chance) for which, outcome, chance in ends
            )
        }
        self._turn(worker, list(chosen.values()), request)

    @precondition(lambda self: self.handles)
    @rule(which=pick, outcome=outcomes)
    def settle_under_another_name(self, which: int, outcome: AttemptOutcome) -> None:
        """No worker ends the attempt of another, even if it knows its number."""
        _, job = self.handles[which % len(self.handles)]
        settled = [Settled(job.id, job.attempt, settle(job, outcome))]
        self._turn(self.a_worker(which + 1), settled, None)

    @precondition(lambda self: self.handles)
    @rule(which=pick, percent=st.integers(0, 100))
    def speak(self, which: int, percent: int) -> None:
        worker, job = self.handles[::-1][which % len(self.handles)]
        data = f'{{"percent":{percent},"message":""}}'
        before = self.store.events(job_id=job.id, limit=ALL)
        self.store.turn(worker, (), [OutputLine(job.id, job.attempt, Output.PROGRESS, data)], None)
        known = self.model.jobs.get(job.id)
        heard = known is not None and known.is_held_by(worker, job.attempt)
        assert len(self.store.events(job_id=job.id, limit=ALL)) == len(before) + heard

    # ── supervisors ─────────────────────────────────────────────────────────────────────────

    @rule(seconds=st.sampled_from([0.5, 5.0, 20.0, 29.0, 31.0]), renew=st.integers(0, 3))
    def time_passes(self, seconds: float, renew: int) -> None:
        """Mostly with every lease renewed."""
        self.clock.advance(seconds)
        for worker in self.model.workers if renew else ():
            assert self.store.renew(worker, LEASE) == self.model.renew(worker, LEASE, self.now)

    @rule(which=pick, retires=st.booleans())
    def leave(self, which: int, retires: bool) -> None:
        worker = self.a_worker(which)
        if retires:
            self.store.retire(worker)
            self.model.retire(worker, self.now)
        else:
            self.store.draining(worker)
            self.model.draining(worker)

    @rule()
    def rescue_the_expired(self) -> None:
        expired = self.store.expired_workers()
        assert expired == self.model.expired(self.now)
        for worker in expired:
            self._rescue(worker, expired_only=True)

    @rule(which=pick, expired_only=st.booleans())
    def rescue(self, which: int, expired_only: bool) -> None:
        self._rescue(self.a_worker(which), expired_only=expired_only)

    def _rescue(self, worker: int, *, expired_only: bool) -> None:
        jobs = self.store.rescue(worker, reason="gone", expired_only=expired_only)
        assert jobs == self.model.rescue(worker, self.now, expired_only=expired_only)

    @rule(limit=st.integers(1, 5))
    def promote(self, limit: int) -> None:
        due = self.model.due(self.now)
        promoted = self.store.promote(limit=limit)
        assert promoted.jobs == min(limit, len(due))
        latest = due[promoted.jobs - 1].run_at if promoted.jobs else 0
        moved = 0
        for job in due:  # among those due at one instant, any may come first
            found = self.store.get(job.id)
            assert found is not None
            if found.state is State.AVAILABLE:
                assert job.run_at <= latest
                job.state = State.AVAILABLE
                moved += 1
        assert moved == promoted.jobs
        assert promoted.next_due == self.model.next_due()

    @rule()
    def sweep(self) -> None:
        assert self.store.sweep() == self.model.sweep(self.now)

    @rule(keep=st.integers(0, 6), batch=st.integers(1, 4))
    def prune(self, keep: int, batch: int) -> None:
        finished = [job for job in self.model.jobs.values() if job.state in FINAL]
        gone = self.store.prune(Retention(None, None, None, max_jobs=keep), batch=batch)
        assert gone == max(0, min(len(finished) - keep, batch))
        left = {job.id for job in self.store.list_jobs(JobFilter(states=FINAL), limit=ALL)}
        assert len(left) == len(finished) - gone
        order = (State.SUCCEEDED, State.CANCELLED, State.FAILED)
        key = {job.id: (order.index(job.state), job.finished_at) for job in finished}
        pruned = [job.id for job in finished if job.id not in left]
        assert not pruned or not left or max(key[i] for i in pruned) <= min(key[i] for i in left)
        for job_id in pruned:
            del self.model.jobs[job_id]
        self._forget_what_is_gone()

    @rule(which=st.integers(0, 1))
    def reopen(self, which: int) -> None:
        """A process ends, and another comes."""
        self.stores[which].close()
        self.stores[which] = open_store(self.url, clock=self.clock)

    # ── what must hold after every step ─────────────────────────────────────────────────────

    def _forget_what_is_gone(self) -> None:
        self.replayed = {id: s for id, s in self.replayed.items() if id in self.model.jobs}

    @invariant()
    def the_store_is_as_the_model(self) -> None:
        jobs = self.store.list_jobs(JobFilter(), limit=ALL)
        assert [job.id for job in jobs] == sorted(self.model.jobs, reverse=True)
        for job in jobs:
            known = self.model.jobs[job.id]
            for fact in FACTS:
                assert getattr(job, fact) == getattr(known, fact), (fact, job)
            assert set(job.waits_for) == known.waits_for
            if not job.is_finished:
                assert (job.solo, job.worker) == (known.solo, known.worker)
                assert job.cancel_requested == known.told
                assert job.failures < job.max_attempts

    @invariant()
    def a_running_job_has_one_holder(self) -> None:
        held = [
            (worker, job.id) for worker in self.model.workers for job in self.store.held(worker)
        ]
        running = self.store.list_jobs(JobFilter(states=[State.RUNNING]), limit=ALL)
        assert sorted(held, key=lambda pair: -pair[1]) == [(job.worker, job.id) for job in running]

    @invariant()
    def the_record_tells_the_state(self) -> None:
        for event in self.store.events(after=self.cursor, output=False, limit=ALL):
            self.cursor = event.seq
            if event.job_id is None:
                continue
            edge = EDGES[Verb(event.name)]
            before = self.replayed.get(event.job_id)
            assert before in edge.sources or (before is None and not edge.sources), event
            after = next_state(event.name, event.data)
            assert after in edge.targets, event
            if edge.verb is Verb.CLAIM:
                assert event.attempt == self.attempts.get(event.job_id, 0) + 1
                self.attempts[event.job_id] = event.attempt
            self.replayed[event.job_id] = after
        assert self.replayed == {job.id: job.state for job in self.model.jobs.values()}

    @invariant()
    def every_attempt_is_recorded_once(self) -> None:
        for job_id, job in list(self.model.jobs.items())[-3:]:
            found = self.store.attempts(job_id)
            assert [(a.attempt, a.worker, a.outcome) for a in found] == [
                (number, *end) for number, end in sorted(job.ended.items())
            ]


def test_random_edges(backend: Backend) -> None:
    """No edge off the table, one holder per job, attempts only grow, the record tells the state."""
    machine = type(f"PlayOn{backend.name.capitalize()}", (Play,), {"backend": backend})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
