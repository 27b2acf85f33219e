"""A store as a few dictionaries: what each verb does, said once more, without a database.

It knows no transactions, no indexes and no SQL; `test_state_machine` plays it beside a real store.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from workhorse.domain.errors import Conflict, NotFound
from workhorse.domain.job import FINAL, UNFINISHED, Claimed, Enqueued, NewJob, Outcome, State
from workhorse.domain.outcome import AttemptOutcome, Lost, Released
from workhorse.domain.transitions import Change, settle
from workhorse.store.protocol import ClaimRequest, Settled

UNSUCCESSFUL = (State.FAILED, State.CANCELLED)
LIVING = ("alive", "draining")


@dataclass
class ModelJob:
    """A job, and all of its attempts."""

    id: int
    asked: NewJob
    state: State
    enqueued_at: int
    run_at: int
    attempt: int = 0
    failures: int = 0
    crashes: int = 0
    lost: int = 0
    solo: bool = False
    told: bool = False
    worker: int | None = None
    started_at: int = 0
    finished_at: int | None = None
    outcome: Outcome | None = None
    waits_for: set[int] = field(default_factory=set)
    ended: dict[int, tuple[int, Outcome]] = field(default_factory=dict)

    def is_held_by(self, worker: int, attempt: int) -> bool:
        """Tell whether this attempt runs now."""
        return self.state is State.RUNNING and (self.worker, self.attempt) == (worker, attempt)

    def claimed(self) -> Claimed:
        """Return the running attempt as its worker holds it."""
        asked = self.asked
        return Claimed(
            self.id, self.attempt, asked.kind, asked.args, asked.queue, asked.priority,
            asked.timeout, asked.max_attempts, asked.backoff, self.failures, self.crashes,
            self.lost, self.solo, self.told, self.enqueued_at, self.started_at,
        )  # fmt: skip


@dataclass
class ModelWorker:
    """A worker's row."""

    id: int
    lease_until: int
    state: str = "alive"


class Model:
    """The whole store. Each verb takes the instant at which it happens."""

    def __init__(self) -> None:
        self.jobs: dict[int, ModelJob] = {}
        self.workers: dict[int, ModelWorker] = {}
        self.paused: set[str] = set()
        self.keys: dict[str, int] = {}
        """The job that each idempotency key was answered with last."""

    # ── clients ─────────────────────────────────────────────────────────────────────────────

    def may_wait_for(self, after: Sequence[int]) -> set[int]:
        """Return which of these have still to succeed; raise what the store would."""
        for job_id in after:
            if job_id not in self.jobs:
                raise NotFound("no such job")
        return {job_id for job_id in after if self.jobs[job_id].state is not State.SUCCEEDED}

    def in_vain(self, after: Sequence[int]) -> bool:
        """Whether a job that is to wait for these could never start."""
        return any(self.jobs[job_id].state in UNSUCCESSFUL for job_id in after)

    def refuse(self, jobs: Sequence[NewJob]) -> None:
        """Raise what the store would for jobs enqueued in one call, if anything."""
        made = {
            key: self.jobs[job_id].asked.kind
            for key, job_id in self.keys.items()
            if job_id in self.jobs
        }
        held = {job.asked.unique: job.asked.kind for job in self.unfinished()}
        for job in jobs:
            kind = made.get(job.idempotency_key or "")
            if kind is None:
                self.may_wait_for(job.after)
                kind = held.get(job.unique, job.kind) if job.unique else job.kind
                if job.unique and not self.in_vain(job.after):
                    held.setdefault(job.unique, kind)
            if kind != job.kind:
                raise Conflict("the key of another kind")
            if job.idempotency_key is not None:
                made[job.idempotency_key] = kind

    def enqueue(self, asked: NewJob, answer: Enqueued, now: int) -> None:
        """Take in one job, under the id the store gave it, and check the answer."""
        if asked.idempotency_key is None:
            self._enqueue(asked, answer, now)
            return
        made = self.jobs.get(self.keys.get(asked.idempotency_key, 0))
        if made is None:
            self._enqueue(asked, answer, now)
            self.keys[asked.idempotency_key] = answer.id
        else:
            assert answer == (made.id, made.state, True)

    def _enqueue(self, asked: NewJob, answer: Enqueued, now: int) -> None:
        waits_for = self.may_wait_for(asked.after)
        holder = self.holder(asked.unique)
        if holder is not None:
            assert answer == (holder.id, holder.state, True)
            return
        assert answer.id > max(self.jobs, default=0)
        run_at = now + round(asked.delay * 1000)
        state = State.SCHEDULED if run_at > now else State.AVAILABLE
        state = State.BLOCKED if waits_for else state
        in_vain = self.in_vain(asked.after)
        assert answer == (answer.id, State.CANCELLED if in_vain else state, False)
        job = ModelJob(answer.id, asked, state, now, run_at, waits_for=waits_for)
        self.jobs[answer.id] = job
        if in_vain:
            self._cancel(job, now)

    def holder(self, unique: str | None) -> ModelJob | None:
        """Return the unfinished job that holds a key."""
        for job in self.unfinished():
            if unique is not None and job.asked.unique == unique:
                return job
        return None

    def cancel(self, job_id: int, now: int) -> State:
        job = self.find(job_id)
        if job.state in FINAL:
            raise Conflict("has ended")
        if job.state is State.RUNNING:
            job.told = True
        else:
            self._cancel(job, now)
        return job.state

    def requeue(self, job_id: int, now: int) -> None:
        job = self.find(job_id)
        if job.state not in UNSUCCESSFUL or self.holder(job.asked.unique):
            raise Conflict("no such edge")
        job.state, job.run_at, job.finished_at = State.AVAILABLE, now, None
        job.failures = job.crashes = job.lost = 0
        job.solo = job.told = False

    def requeue_many(self, limit: int, now: int) -> list[int]:
        found = [
            job.id
            for _, job in sorted(self.jobs.items())
            if job.state in UNSUCCESSFUL and not self.holder(job.asked.unique)
        ]
        done = []
        for job_id in found[:limit]:
            if not self.holder(self.jobs[job_id].asked.unique):
                self.requeue(job_id, now)
                done.append(job_id)
        return done

    def delete(self, job_id: int) -> None:
        if self.find(job_id).state not in FINAL:
            raise Conflict("unfinished")
        del self.jobs[job_id]

    def find(self, job_id: int) -> ModelJob:
        if job_id not in self.jobs:
            raise NotFound("no such job")
        return self.jobs[job_id]

    def unfinished(self) -> list[ModelJob]:
        return [job for job in self.jobs.values() if job.state in UNFINISHED]

    # ── workers ─────────────────────────────────────────────────────────────────────────────

    def settle(self, worker: int, ends: Sequence[Settled], now: int) -> list[tuple[int, int]]:
        """End attempts; return the stale ones."""
        stale = []
        for job_id, attempt, change in ends:
            job = self.jobs.get(job_id)
            if job is not None and job.is_held_by(worker, attempt):
                self._end(job, change, now)
            elif job is None or job.ended.get(attempt) != (worker, change.outcome):
                stale.append((job_id, attempt))
        return stale

    def lease(self, worker: int, now: int) -> tuple[bool, bool]:
        """Return whether the lease lives, and whether the worker may claim."""
        row = self.workers[worker]
        valid = row.state in LIVING and row.lease_until > now
        return valid, valid and row.state == "alive"

    def claim(self, worker: int, request: ClaimRequest, now: int) -> list[Claimed]:
        """Claim what is next: queue by queue, the most urgent first, then the oldest."""
        claimed: list[Claimed] = []
        for queue in request.queues if self.lease(worker, now)[1] else ():
            waiting = [
                job
                for job in self.jobs.values()
                if (job.state, job.asked.queue, job.solo) == (State.AVAILABLE, queue, request.solo)
                and job.asked.kind in request.kinds
                and queue not in self.paused
            ]
            waiting.sort(key=lambda job: (-job.asked.priority, job.id))
            for job in waiting[: request.limit - len(claimed)]:
                job.state, job.worker, job.started_at = State.RUNNING, worker, now
                job.attempt += 1
                claimed.append(job.claimed())
        return claimed

    def held(self, worker: int) -> list[ModelJob]:
        """Return the running jobs of a worker, oldest first."""
        running = [job for job in self.jobs.values() if job.state is State.RUNNING]
        return sorted((job for job in running if job.worker == worker), key=lambda job: job.id)

    # ── supervisors ─────────────────────────────────────────────────────────────────────────

    def renew(self, worker: int, lease: float, now: int) -> bool:
        row = self.workers[worker]
        if row.state in LIVING:
            row.lease_until = now + round(lease * 1000)
        return row.state in LIVING

    def draining(self, worker: int) -> None:
        if self.workers[worker].state == "alive":
            self.workers[worker].state = "draining"

    def retire(self, worker: int, now: int) -> None:
        if self.workers[worker].state in LIVING:
            self.workers[worker].state = "gone"
            self._end_all(worker, Released("the worker stopped"), now)

    def expired(self, now: int) -> list[int]:
        return [w.id for w in self.workers.values() if w.state in LIVING and w.lease_until <= now]

    def rescue(self, worker: int, now: int, *, expired_only: bool) -> int | None:
        if expired_only and self.lease(worker, now)[0]:
            return None
        jobs = self._end_all(worker, Lost("gone"), now)
        if self.workers[worker].state not in LIVING:
            return jobs or None
        self.workers[worker].state = "lost"
        return jobs

    def timed(self, state: State) -> list[ModelJob]:
        """Return the scheduled, or the blocked jobs that wait for a time, the longest due first."""
        jobs = [job for job in self.jobs.values() if job.state is state]
        if state is State.BLOCKED:
            jobs = [job for job in jobs if job.run_at > job.enqueued_at]
        return sorted(jobs, key=lambda job: job.run_at)

    def due_in(self, now: int) -> int | None:
        jobs = self.timed(State.SCHEDULED) + self.timed(State.BLOCKED)
        return min(job.run_at for job in jobs) - now if jobs else None

    def sweep(self, now: int) -> int:
        ready = [job for job in self.jobs.values() if self.is_ready(job, now)]
        for job in ready:
            job.state, job.run_at = State.AVAILABLE, now
        return len(ready)

    # ── what follows from an end ────────────────────────────────────────────────────────────

    def _end_all(self, worker: int, outcome: AttemptOutcome, now: int) -> int:
        held = self.held(worker)
        for job in held:
            self._end(job, settle(job.claimed(), outcome, chance=0), now)
        return len(held)

    def _end(self, job: ModelJob, change: Change, now: int) -> None:
        assert job.worker is not None
        job.ended[job.attempt] = (job.worker, change.outcome)
        job.state, job.outcome, job.worker = change.state, change.outcome, None
        job.failures += change.failures
        job.crashes += change.crashes
        job.lost += change.lost
        match change.state:
            case State.SUCCEEDED:
                job.finished_at = now
                self._let_go(job.id, now)
            case State.FAILED | State.CANCELLED:
                job.finished_at = now
                self._take_along(job.id, now)
            case _:
                job.solo = change.solo
                job.run_at = now + (
                    round(change.delay * 1000) if change.state is State.SCHEDULED else 0
                )
                if job.told:
                    self._cancel(job, now)

    def _cancel(self, job: ModelJob, now: int) -> None:
        job.state, job.finished_at = State.CANCELLED, now
        job.waits_for.clear()
        self._take_along(job.id, now)

    def _take_along(self, ended: int, now: int) -> None:
        for job in self.jobs.values():
            if ended in job.waits_for:
                self._cancel(job, now)

    def _let_go(self, ended: int, now: int) -> None:
        for job in self.jobs.values():
            if ended in job.waits_for:
                job.waits_for.discard(ended)
                if self.is_ready(job, now):
                    job.state, job.run_at = State.AVAILABLE, now

    @staticmethod
    def is_ready(job: ModelJob, now: int) -> bool:
        return job.state is State.BLOCKED and not job.waits_for and job.run_at <= now
