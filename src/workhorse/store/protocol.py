"""What every store promises, cut at the queue's verbs: one Protocol per user of it.

All methods are synchronous and thread-safe, and each is one atomic transaction that writes
its events beside the change. When a method returns, what it did is on stable storage (as far
as the store's `durability` says); when it raises, nothing was changed, but that a connection lost
at the commit leaves that open. A store that cannot be reached or is full raises `Unavailable` /
`StoreFull`; a caller never sees a driver's error.

Instants are milliseconds since 1970 UTC, from the store's own clock; durations are seconds.
Each write of a worker carries the fence (job id, attempt, worker id): a row that is no longer
the caller's is left alone and reported back as stale.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from workhorse.domain.events import Event, OutputLine
from workhorse.domain.job import (
    Attempt,
    Claimed,
    Enqueued,
    Job,
    NewJob,
    Outcome,
    QueueStats,
    State,
    WorkerInfo,
)
from workhorse.domain.outcome import ON_REQUEST
from workhorse.domain.transitions import Change
from workhorse.store.driver import Whole
from workhorse.text import octets


class Settled(NamedTuple):
    """One ended attempt and what it does to its job."""

    id: int
    attempt: int
    change: Change


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """What one child of a worker is ready to run.

    Queues are in strict order: a job of a later queue is claimed only when the earlier ones
    have none left; within a queue the highest priority first, then the lowest id. Only kinds
    named in `kinds` are claimed; paused queues are passed over. With `solo`, only jobs that
    must run alone are claimed, else only those that need not. `limit` is for the whole claim,
    which also ends near where its arguments come to `TURN_BYTES`: see `fills_turn`.
    """

    child: int
    queues: tuple[str, ...]
    kinds: tuple[str, ...]
    limit: int
    solo: bool = False


TURN_BYTES: Final = 8 * 1024 * 1024
"""Results handed in by one turn, and arguments claimed by one. Ten times as much takes a
connection a hundred times as long."""


class Turn(NamedTuple):
    """The answer to one `turn`."""

    stale: Sequence[tuple[int, int]]
    """The (id, attempt) that were no longer this worker's: LeaseLost, nothing was written."""
    claimed: Sequence[Claimed]
    lease_valid: bool
    """False when the worker's lease has run out or it was retired: nothing was claimed."""
    held_up: Sequence[tuple[int, int]] = ()
    """The (id, attempt) whose job an open transaction of somebody keeps: to be handed in again."""
    freed: bool = False
    """Whether what was settled has made jobs available that this turn did not claim: others beside
    the store are to be woken. False where the store wakes them itself."""
    unswept: bool = False
    """Whether so many wait for what was settled that not all were seen to: `sweep` goes on."""


class CancelRequest(NamedTuple):
    """A running job that is told to end: for how many ms already, and why."""

    id: int
    attempt: int
    since: int
    reason: str


@dataclass(frozen=True, slots=True)
class NewWorker:
    """What a starting supervisor says of itself."""

    host: str
    pid: int
    queues: Sequence[str]
    kinds: Sequence[str]
    processes: int
    concurrency: int
    lease: float


class Promoted(NamedTuple):
    """What one promote pass did, and in how many ms the next job is due, if any.

    By the store's clock: the caller's may differ. A blocked job may then still wait for others.
    """

    jobs: int
    due_in: int | None


class Look(NamedTuple):
    """What needs a supervisor now."""

    at: int
    """The store's clock, in ms."""
    expired: Sequence[int]
    """Workers not gone whose lease has run out, and those no more that still hold jobs."""
    solo: int
    """How many available jobs must run alone, of those that the worker may claim."""
    holding: Sequence[int]
    """The numbers of those of a worker's children that hold jobs."""


class Bell(Protocol):
    """What hears the rings of other hosts, until it is closed."""

    hears: bool
    """Whether a ring would be heard now, as far as one can know."""

    def close(self) -> None:
        """Stop listening. Idempotent."""


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs to list or act on. Empty fields do not filter.

    `outcomes` is how the last attempt that has ended did. Jobs were enqueued at `since` or later,
    before `until`: both in milliseconds since 1970 UTC.
    """

    states: Sequence[State] = ()
    queues: Sequence[str] = ()
    kinds: Sequence[str] = ()
    ids: Sequence[int] = ()
    worker: int | None = None
    outcomes: Sequence[Outcome] = ()
    since: int | None = None
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Retention:
    """How long finished jobs are kept: by age per state (seconds), then by count and bytes.

    None means no limit. A job's attempts, events and idempotency key go with it; so do worker
    rows and events that are older than the longest age. Bytes are those of finished jobs, their
    attempts and events. Unfinished jobs are never pruned, nor is a worker that holds one, and they
    are never the reason for it.
    """

    succeeded: float | None = 7 * 86400.0
    cancelled: float | None = 30 * 86400.0
    failed: float | None = 90 * 86400.0
    max_jobs: int | None = 1_000_000
    max_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class StoreHealth:
    """Facts for `doctor` and `health`. A finding is (``error`` or ``warn``, a sentence)."""

    url: str
    """Without credentials."""
    version: str
    schema: int
    size: int
    findings: Sequence[tuple[str, str]] = ()


class ClientStore(Protocol):
    """What the Python API and the command line need."""

    def enqueue(self, jobs: Sequence[NewJob]) -> list[Enqueued]:
        """enqueue: → available, scheduled (delay or run_at in the future) or blocked (after).

        All or none of `jobs`, answers in their order. A `unique` that is held by an unfinished
        job (or twice in `jobs`) gives the holder's id with ``existing=True`` and stores nothing
        for it. So does an `idempotency_key` that has been answered with a job that is still kept,
        finished or not; nothing else is then looked at. Either raises `Conflict` when that job is
        of another kind. An id in `after` that does not exist raises `NotFound`; one that has failed
        or been cancelled raises `Conflict`; one that has succeeded is already satisfied.
        """

    def enqueue_with(self, connection: Any, jobs: Sequence[NewJob]) -> list[Enqueued]:
        """Enqueue inside the caller's open transaction on `connection`, one of the store's driver.

        The caller's commit makes the jobs exist; its rollback means they never did. Nothing
        is committed or rolled back here; when this raises, nothing was added to the transaction.
        `InvalidJob` for a connection that has none open and would commit each statement itself,
        or that is not to a store.
        """

    async def aenqueue_with(self, connection: Any, jobs: Sequence[NewJob]) -> list[Enqueued]:
        """`enqueue_with`, on a connection that belongs to the running event loop.

        `InvalidJob` also from a store that knows no such connections.
        """

    def get(self, job_id: int) -> Job | None:
        """Return the job, unfinished or in the history; None when there is no such id."""

    def list_jobs(
        self, where: JobFilter, *, limit: int = 50, before: int | None = None
    ) -> list[Job]:
        """Return jobs newest first (by id); `before` is the last id of the page before."""

    def counts(self) -> Mapping[State, int]:
        """Return how many jobs there are in each state. All that are kept are counted."""

    def attempts(self, job_id: int) -> list[Attempt]:
        """Return the ended attempts of a job, oldest first."""

    def events(
        self,
        *,
        job_id: int | None = None,
        after: int = 0,
        limit: int = 1000,
        output: bool = True,
    ) -> list[Event]:
        """Return events with ``seq > after``, oldest first; without `output`, only the audit.

        What is shown is on the disk, and stays: who reads on after it misses nothing.
        """

    def cancel(self, job_id: int, *, reason: str = ON_REQUEST) -> State:
        """cancel: scheduled, blocked, available → cancelled at once. Returns the state after.

        A running job stays running with `cancel_requested` set: its worker is told, ends it,
        then settles it. Asking again changes nothing. `NotFound`; `Conflict` when finished.
        Jobs blocked on a job that ends cancelled or failed are cancelled with it; when they are
        very many, some of them by the next sweep of a worker. The reason is
        kept as an error's message is: clean, and at most `MESSAGE_LIMIT` bytes.
        """

    def requeue(self, job_id: int) -> None:
        """requeue: failed, cancelled → available, with a fresh budget and the same id.

        The attempt number goes on growing. `NotFound`; `Conflict` from any other state, or
        when its `unique` is held by another unfinished job.
        """

    def requeue_many(self, where: JobFilter, *, limit: int = 1000) -> list[int]:
        """Requeue every failed or cancelled job that matches; return their ids."""

    def delete(self, job_id: int) -> None:
        """Remove a finished job with its attempts, output and idempotency key.

        `NotFound`; `Conflict`.
        """

    def queues(self) -> list[QueueStats]:
        """Return every queue that has unfinished jobs, a pause, or a worker, by name."""

    def pause(self, queue: str) -> None:
        """Stop claims from `queue`; what runs goes on. Twice is once.

        `InvalidJob` for what cannot name a queue.
        """

    def resume(self, queue: str) -> None:
        """Let `queue` be claimed again. Twice is once."""

    def workers(self, *, gone: bool = False) -> list[WorkerInfo]:
        """Return workers that are alive or draining, newest first; with `gone`, all kept."""

    def expired_workers(self) -> list[int]:
        """Return workers not gone whose lease has run out, and those no more that still hold jobs.

        Of these the store may know nothing else.
        """

    def waiting(self, *, oldest: int | None = None) -> Mapping[tuple[str, str], int]:
        """Return how many available jobs there are of each (queue, kind): to find what nobody runs.

        With `oldest`, among so many of the oldest only: cheap, and what nobody runs grows old.
        """

    def health(self, *, listen_url: str | None = None) -> StoreHealth:
        """Look the store over. Cheap enough for a health probe each few seconds.

        With `listen_url`, where workers listen, that is tried: it may take some seconds.
        """


class ChildStore(Protocol):
    """What a worker's children need: the hot path."""

    overlaps: bool
    """Whether one turn that settles and another that claims, at the same time, gain by it."""

    def turn(
        self,
        worker: int,
        settled: Sequence[Settled],
        output: Sequence[OutputLine],
        claim: ClaimRequest | None,
    ) -> Turn:
        """Settle ended attempts, keep output lines and claim new jobs, in one transaction.

        complete, retry, snooze, release, fail, cancel: running → …; claim: available →
        running, attempt + 1. Settling is fenced by the row alone (a lease that ran out but was
        not rescued yet still counts); claiming needs a living lease. Output of an attempt that
        is no longer the worker's is dropped. A settle that was already recorded by the very
        same attempt with the same outcome (a lost reply) is not stale. Finishing a job unblocks
        (or, when it did not succeed, cancels) those after it: a portion of them when they are very
        many.
        """

    def claim_job(self, worker: int, job_id: int) -> Claimed | None:
        """Claim one job by id, for inline mode: scheduled, available → running.

        None, with nothing changed, for any other, and for a worker that may not claim.
        """

    def cancel_requests(self, worker: int) -> list[CancelRequest]:
        """Return this worker's running jobs that are told to end."""

    def held(self, worker: int, child: int | None = None) -> list[Claimed]:
        """Return the running jobs of a worker, or of one of its children."""

    def sweep(self) -> int:
        """As a supervisor does: what it left `unswept` a child goes on with at once."""


class SupervisorStore(Protocol):
    """What a supervisor needs: leases, and the maintenance passes."""

    def register(self, worker: NewWorker) -> int:
        """Write the worker's row with a lease from now, and return its new id."""

    def renew(self, worker: int, lease: float, *, restarts: int = 0) -> bool:
        """Move the lease's end to now + `lease` s; False when the worker was found lost.

        So it is when its row was lost and its id is another's, for a worker registered here.
        """

    def draining(self, worker: int) -> None:
        """Say that the worker claims no more."""

    def retire(self, worker: int) -> None:
        """The worker is done and nothing of it runs. Whatever it still held is released."""

    def note(self, name: str, *, worker: int | None = None, data: Mapping[str, Any]) -> None:
        """Write one event of a worker's life."""

    def look(self, worker: int | None = None) -> Look:
        """Look once at all that needs a supervisor: that of `worker`, if one is given."""

    def listen(self, heard: Callable[[str], None], *, url: str | None = None) -> Bell | None:
        """Have `heard(queue)` called, on a thread of the store's, when another host enqueues.

        The queue is empty when rings may have been missed. `url` is where to listen, when that
        is not where the store is used (a pooler passes no rings on). None when this store's
        processes are all on one host, or its rings cannot be heard.
        """

    def promote(self, *, limit: int = 1000) -> Promoted:
        """promote: scheduled → available, for those that are due.

        unblock: blocked → available, for those that waited for their time alone. At most `limit`
        of either.
        """

    def sweep(self) -> int:
        """unblock (or cancel) blocked jobs whose last dependency ended unseen, a portion of them.

        Returns how many waits are over; there may be more of them until it is none.
        """

    def rescue(self, worker: int, *, reason: str, expired_only: bool = True) -> int | None:
        """rescue: running → available, scheduled, failed or cancelled, for all jobs of `worker`.

        With `expired_only`, does nothing when the lease is alive at the moment of writing.
        Marks the worker lost. Returns how many jobs were given back; None when there was nothing
        to do. A job whose end another's transaction keeps is left to a later call.
        """

    def measure(self, retention: Retention) -> bool:
        """Measure a portion of what finished jobs hold, if that is limited; tell of more to do.

        What a store has measured it remembers: once all is, a call sees to what is new alone.
        """

    def prune(self, retention: Retention, *, batch: int = 1000) -> int:
        """Delete finished jobs beyond the retention, at most `batch` a call; return how many.

        Fewer go at once when they have very many events; where one has too many by itself, each
        portion of them counts as one. None is left when it returns 0. What is not measured yet of
        what they hold is measured first: after `measure`, that is little.
        """

    def tidy(self) -> None:
        """House-keeping between jobs: checkpoint the log, refresh planner statistics."""


class Store(ClientStore, ChildStore, SupervisorStore, Protocol):
    """All of a store."""

    @property
    def url(self) -> str:
        """Where it is, without credentials."""

    @property
    def run_dir(self) -> Path | None:
        """The folder shared by processes of one host beside this store; None without one."""

    def migrate(self) -> Sequence[str]:
        """Bring the schema up to date; return the names of the migrations applied. Idempotent."""

    def whole(self) -> AbstractContextManager[Whole]:
        """Have the store alone, in one transaction: to be copied from or into.

        Who wants to write meanwhile waits, and gives up at the end of its patience.
        """

    def close(self) -> None:
        """Let go of files and connections. Idempotent."""


def first_due(settled: Iterable[Settled]) -> float | None:
    """Return in how many seconds the first of the jobs that were put off is due; None without."""
    delays = (one.change.delay for one in settled if one.change.state is State.SCHEDULED)
    return min(delays, default=None)


def args_bytes(claimed: Iterable[Claimed]) -> int:
    """Return how many bytes the arguments of these jobs are together."""
    return sum(octets(job.args) for job in claimed)


def fills_turn(claimed: Iterable[Claimed]) -> bool:
    """Whether the arguments of a claim are as much as one turn carries: more jobs may be left."""
    return args_bytes(claimed) >= TURN_BYTES


def wanted_kinds(kinds: Iterable[str]) -> tuple[str, ...]:
    """Return kinds in the one order every claim uses."""
    return tuple(sorted(kinds))
