"""Verbs done to a real store and to the model alike, and what must hold after each of them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar, Final

import pytest
from hypothesis.stateful import RuleBasedStateMachine, invariant

from tests.store.backends import Backend
from tests.store.hands import ALL, SettableClock, Worker
from tests.store.model import Model, ModelWorker
from workhorse.domain.errors import Conflict, NotFound, WorkhorseError
from workhorse.domain.events import Output, OutputLine
from workhorse.domain.job import FINAL, Claimed, NewJob, State
from workhorse.domain.transitions import EDGES, Verb
from workhorse.store.protocol import ClaimRequest, JobFilter, Retention, Settled, Store

LEASE: Final = 30.0
QUEUES: Final = ("a", "b")
PRUNED_FIRST: Final = (State.SUCCEEDED, State.CANCELLED, State.FAILED)
FACTS: Final = (
    "state", "attempt", "failures", "crashes", "lost", "solo", "outcome", "enqueued_at",
    "run_at", "finished_at",
)  # fmt: skip
"""What a job and the model's have in common."""


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
        self.stores = [self.backend.open(self.url, self.clock) for _ in range(2)]
        self.model = Model()
        self.handles: list[tuple[int, Claimed]] = []
        """Every attempt that was ever claimed, with its worker; the latest last."""
        self.ids: list[int] = []
        self.turns = 0
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
        self.turns += 1
        return self.stores[self.turns % 2]

    @property
    def now(self) -> int:
        return self.clock.now

    def same(self, real: Callable[[], object], model: Callable[[], object]) -> None:
        """Do the same to both: the same answer, or the same refusal."""
        try:
            expected = model()
        except WorkhorseError as refusal:
            with pytest.raises(type(refusal)):
                real()
        else:
            assert real() == expected

    # ── clients ─────────────────────────────────────────────────────────────────────────────

    def enqueue_jobs(self, jobs: Sequence[NewJob]) -> None:
        """Enqueue in one call, which the store takes whole or refuses whole."""
        try:
            self.model.refuse(jobs)
        except WorkhorseError:
            with pytest.raises((Conflict, NotFound)):  # of two that are wrong, either is told
                self.store.enqueue(jobs)
            return
        for job, answer in zip(jobs, self.store.enqueue(jobs), strict=True):
            self.model.enqueue(job, answer, self.now)
            if not answer.existing:
                self.ids.append(answer.id)

    def cancel(self, job_id: int) -> None:
        self.same(lambda: self.store.cancel(job_id), lambda: self.model.cancel(job_id, self.now))

    def requeue(self, job_id: int) -> None:
        self.same(lambda: self.store.requeue(job_id), lambda: self.model.requeue(job_id, self.now))

    def requeue_many(self, limit: int) -> None:
        expected = self.model.requeue_many(limit, self.now)
        assert self.store.requeue_many(JobFilter(), limit=limit) == expected

    def delete(self, job_id: int) -> None:
        self.same(lambda: self.store.delete(job_id), lambda: self.model.delete(job_id))
        self._forget_what_is_gone()

    def pause(self, queue: str) -> None:
        self.store.pause(queue)
        self.model.paused.add(queue)

    def resume(self, queue: str) -> None:
        self.store.resume(queue)
        self.model.paused.discard(queue)

    # ── workers ─────────────────────────────────────────────────────────────────────────────

    def register(self) -> None:
        worker = Worker(self.store, queues=QUEUES, lease=LEASE)
        assert worker.id not in self.model.workers
        self.model.workers[worker.id] = ModelWorker(worker.id, self.now + round(LEASE * 1000))

    def able_workers(self) -> list[int]:
        """Return those that may claim."""
        return [worker for worker in self.model.workers if self.model.lease(worker, self.now)[1]]

    def turn(
        self, worker: int, settled: Sequence[Settled], request: ClaimRequest | None
    ) -> list[Claimed]:
        """Do one turn of both; return what was claimed."""
        turn = self.store.turn(worker, settled, (), request)
        assert sorted(turn.stale) == sorted(self.model.settle(worker, settled, self.now))
        claimed = [] if request is None else self.model.claim(worker, request, self.now)
        assert list(turn.claimed) == claimed
        assert turn.lease_valid == self.model.lease(worker, self.now)[0]
        self.handles += [(worker, job) for job in claimed]
        return claimed

    def speak(self, worker: int, job: Claimed) -> None:
        """Say a word under an attempt: it is heard while the attempt is the worker's."""
        before = len(self.store.events(job_id=job.id, limit=ALL))
        word = OutputLine(job.id, job.attempt, Output.PROGRESS, '{"percent":5,"message":""}')
        self.store.turn(worker, (), [word], None)
        known = self.model.jobs.get(job.id)
        heard = known is not None and known.is_held_by(worker, job.attempt)
        assert len(self.store.events(job_id=job.id, limit=ALL)) == before + heard

    # ── supervisors ─────────────────────────────────────────────────────────────────────────

    def renew(self, worker: int) -> None:
        assert self.store.renew(worker, LEASE) == self.model.renew(worker, LEASE, self.now)

    def drain(self, worker: int) -> None:
        self.store.draining(worker)
        self.model.draining(worker)

    def retire(self, worker: int) -> None:
        self.store.retire(worker)
        self.model.retire(worker, self.now)

    def rescue(self, worker: int, *, expired_only: bool) -> None:
        jobs = self.store.rescue(worker, reason="gone", expired_only=expired_only)
        assert jobs == self.model.rescue(worker, self.now, expired_only=expired_only)

    def rescue_the_expired(self) -> None:
        expired = self.store.expired_workers()
        assert expired == self.model.expired(self.now)
        for worker in expired:
            self.rescue(worker, expired_only=True)

    def promote(self, limit: int) -> None:
        """The longest due go first; of those due at one instant, any."""
        waiting = self.model.timed(State.SCHEDULED), self.model.timed(State.BLOCKED)
        promoted = self.store.promote(limit=limit)
        left = [State.SCHEDULED, State.BLOCKED, State.AVAILABLE]
        found = {job.id: job for job in self.store.list_jobs(JobFilter(states=left), limit=ALL)}
        moved = 0
        for timed in waiting:
            due = [job for job in timed if job.run_at <= self.now]
            seen = [
                job for job in due
                if found[job.id].state is State.AVAILABLE
                or (job.state is State.BLOCKED and found[job.id].run_at == job.enqueued_at)
            ]  # fmt: skip
            assert len(seen) == min(limit, len(due))
            assert all(job.run_at <= due[len(seen) - 1].run_at for job in seen)
            for job in seen:
                if job.state is State.SCHEDULED:
                    job.state, moved = State.AVAILABLE, moved + 1
                elif self.model.is_ready(job, self.now):
                    job.state, job.run_at, moved = State.AVAILABLE, self.now, moved + 1
                else:
                    job.run_at = job.enqueued_at
        assert promoted.jobs == moved
        assert promoted.due_in == self.model.due_in(self.now)

    def sweep(self) -> None:
        assert self.store.sweep() == self.model.sweep(self.now)

    def prune(self, keep: int, batch: int) -> None:
        """The oldest of the least missed go first; of those of one instant, any."""
        finished = {job.id: job for job in self.model.jobs.values() if job.state in FINAL}
        gone = self.store.prune(Retention(None, None, None, max_jobs=keep), batch=batch)
        assert gone == max(0, min(len(finished) - keep, batch))
        left = {job.id for job in self.store.list_jobs(JobFilter(states=FINAL), limit=ALL)}
        assert len(left) == len(finished) - gone
        order = {
            job.id: (PRUNED_FIRST.index(job.state), job.finished_at) for job in finished.values()
        }
        pruned = finished.keys() - left
        if pruned and left:
            assert max(order[job_id] for job_id in pruned) <= min(order[job_id] for job_id in left)
        for job_id in pruned:
            del self.model.jobs[job_id]
        self._forget_what_is_gone()

    def reopen(self, which: int) -> None:
        """A process ends, and another comes."""
        self.stores[which].close()
        self.stores[which] = self.backend.open(self.url, self.clock)

    def _forget_what_is_gone(self) -> None:
        self.replayed = {id: s for id, s in self.replayed.items() if id in self.model.jobs}

    # ── what must hold after every step ─────────────────────────────────────────────────────

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
                assert job.worker == known.worker
                assert job.cancel_requested == known.told
                assert job.failures < job.max_attempts

    @invariant()
    def a_running_job_has_one_holder(self) -> None:
        held = [
            (worker, job.id) for worker in self.model.workers for job in self.store.held(worker)
        ]
        running = self.store.list_jobs(JobFilter(states=[State.RUNNING]), limit=ALL)
        assert sorted(held) == sorted((job.worker, job.id) for job in running)

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
        for job_id, job in self.model.jobs.items():
            if job.ended:
                found = [(a.attempt, a.worker, a.outcome) for a in self.store.attempts(job_id)]
                assert found == [(number, *end) for number, end in sorted(job.ended.items())]
