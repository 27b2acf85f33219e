"""What the tests of the store have in their hands: a clock, jobs, workers, and ways to look."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from workhorse.domain.events import OutputLine
from workhorse.domain.job import Claimed, Job, NewJob, State
from workhorse.domain.outcome import AttemptOutcome, Completed, Failed, Failure, Lost
from workhorse.domain.transitions import settle as settle_by_rule
from workhorse.store.protocol import ClaimRequest, JobFilter, NewWorker, Settled, Store, Turn

NOBODY: Final = 999_999
"""An id that no job and no worker of a test has."""
ALL: Final = 1_000_000
OK: Final = Completed()
ERROR: Final = Failed(Failure("ValueError", "it went wrong"))
FATAL: Final = Failed(Failure("ValueError", "it went wrong"), permanent=True)
LOST: Final = Lost()


class SettableClock:
    """Milliseconds since 1970 UTC. It stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1_760_000_000_000
        self.followers: list[Callable[[int], None]] = []
        """Told of each move: clocks that stand elsewhere."""

    def __call__(self) -> int:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += round(seconds * 1000)
        for follow in self.followers:
            follow(self.now)


def a_job(**facts: Any) -> NewJob:
    """A job that asks for nothing in particular but `facts`."""
    return NewJob(**({"kind": "work"} | facts))


def put(store: Store, **facts: Any) -> int:
    """Enqueue one job and return its id."""
    (answer,) = store.enqueue([a_job(**facts)])
    return answer.id


def put_many(store: Store, number: int, **facts: Any) -> list[int]:
    """Enqueue `number` jobs that are alike and return their ids."""
    return [answer.id for answer in store.enqueue([a_job(**facts)] * number)]


class Worker:
    """A registered worker, in the hands of a test."""

    def __init__(
        self,
        store: Store,
        *,
        queues: Sequence[str] = ("default",),
        kinds: Sequence[str] = ("work",),
        lease: float = 30,
        host: str = "here",
    ) -> None:
        self.store = store
        self.queues = tuple(queues)
        self.kinds = tuple(kinds)
        self.id = store.register(
            NewWorker(
                host=host,
                pid=4242,
                queues=queues,
                kinds=kinds,
                processes=2,
                concurrency=10,
                lease=lease,
            )
        )

    def request(
        self,
        limit: int = ALL,
        *,
        queues: Sequence[str] | None = None,
        kinds: Sequence[str] | None = None,
        solo: bool = False,
        child: int = 1,
    ) -> ClaimRequest:
        return ClaimRequest(
            child=child,
            queues=self.queues if queues is None else tuple(queues),
            kinds=self.kinds if kinds is None else tuple(kinds),
            limit=limit,
            solo=solo,
        )

    def turn(
        self,
        settled: Sequence[Settled] = (),
        output: Sequence[OutputLine] = (),
        claim: ClaimRequest | None = None,
    ) -> Turn:
        turn = self.store.turn(self.id, settled, output, claim)
        return Turn(list(turn.stale), list(turn.claimed), turn.lease_valid)

    def claim(self, limit: int = ALL, **wishes: Any) -> Sequence[Claimed]:
        """Claim up to `limit` jobs."""
        return self.turn(claim=self.request(limit, **wishes)).claimed

    def take(self, **wishes: Any) -> Claimed:
        """Claim the one job that is next."""
        (job,) = self.claim(1, **wishes)
        return job

    def settle(
        self, job: Claimed, outcome: AttemptOutcome, *, chance: float = 0.5
    ) -> Sequence[tuple[int, int]]:
        """End an attempt; return what was stale."""
        return self.turn([settled(job, outcome, chance=chance)]).stale

    def run(self, outcome: AttemptOutcome, **wishes: Any) -> Claimed:
        """Claim the next job and end its attempt at once."""
        job = self.take(**wishes)
        assert self.settle(job, outcome) == []
        return job


def settled(job: Claimed, outcome: AttemptOutcome, *, chance: float = 0.5) -> Settled:
    """What a worker hands the store of an ended attempt."""
    return Settled(job.id, job.attempt, settle_by_rule(job, outcome, chance=chance))


def a_job_in(state: State, store: Store, **facts: Any) -> int:
    """Bring a new job into `state`, on a queue of its own, and return its id."""
    facts = {"queue": f"to-{state}", "max_attempts": 1, **facts}
    worker = Worker(store, queues=[str(facts["queue"])])
    match state:
        case State.SCHEDULED:
            return put(store, delay=60, **facts)
        case State.BLOCKED:
            return put(store, after=[put(store, queue="never-claimed")], **facts)
        case State.AVAILABLE:
            return put(store, **facts)
        case State.CANCELLED:
            job_id = put(store, **facts)
            store.cancel(job_id)
            return job_id
        case State.RUNNING:
            job_id = put(store, **facts)
            worker.take()
            return job_id
        case State.SUCCEEDED | State.FAILED:
            job_id = put(store, **facts)
            worker.run(OK if state is State.SUCCEEDED else ERROR)
            return job_id


def the(store: Store, job_id: int) -> Job:
    """Return a job that must be there."""
    job = store.get(job_id)
    assert job is not None, f"there is no job {job_id}"
    return job


def state(store: Store, job_id: int) -> State:
    return the(store, job_id).state


def story(store: Store, job_id: int) -> list[str]:
    """Return the names of the audit events of a job, oldest first."""
    return [event.name for event in store.events(job_id=job_id, output=False, limit=ALL)]


def everything(store: Store) -> object:
    """Return all that can be seen of a store, to compare."""
    jobs = store.list_jobs(JobFilter(), limit=ALL)
    return (
        jobs,
        [store.attempts(job.id) for job in jobs],
        store.events(limit=ALL),
        store.workers(gone=True),
        store.queues(),
    )


@contextmanager
def nothing_changed(store: Store) -> Iterator[None]:
    """Prove that the block leaves the store as it was."""
    before = everything(store)
    yield
    assert everything(store) == before
