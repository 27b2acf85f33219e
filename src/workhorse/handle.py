"""A handle: one job, seen from outside, by whoever enqueued it or looked it up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from math import isnan
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from workhorse.domain.errors import InvalidJob, NotFound, ResultTimeout
from workhorse.domain.failed import JobCancelled, JobFailed
from workhorse.domain.job import FINAL, QueueStats, State, check_type
from workhorse.domain.outcome import ON_REQUEST
from workhorse.explain import Facts, error_line, explain, why_cancelled

if TYPE_CHECKING:
    from workhorse.domain.events import Event
    from workhorse.domain.job import Job
    from workhorse.spec import KindSpec
    from workhorse.store.protocol import ClientStore

R_co = TypeVar("R_co", covariant=True)

FIRST_LOOK: Final = 0.002
"""How long `result` waits before it looks a second time, in seconds; it grows from there."""
SLOWEST_LOOK: Final = 0.1
PAGE: Final = 1000


class Home:
    """What a handle needs of its app."""

    __slots__ = ("changed", "look", "place", "requeued", "store")

    def __init__(
        self,
        place: Callable[[], str],
        store: Callable[[], ClientStore],
        look: Callable[[Callable[[], Job]], Awaitable[Job]],
        changed: Callable[[], None],
        requeued: Callable[[Job], None],
    ) -> None:
        """`look` blocks no loop; `changed` wakes workers; `requeued` is told what can run again."""
        self.place = place
        self.store = store
        self.look = look
        self.changed = changed
        self.requeued = requeued


class Handle(Generic[R_co]):
    """One job. `state` and `job` are as last seen: `refresh` looks again."""

    __slots__ = ("_job", "_spec", "_state", "existing", "home", "id")

    def __init__(
        self,
        home: Home,
        job_id: int,
        state: State,
        *,
        spec: KindSpec | None = None,
        existing: bool = False,
        job: Job | None = None,
    ) -> None:
        self.home = home
        self._state = state
        self._job = job
        self._spec = spec
        self.id = job_id
        """The job's id: grows with every job of a store, and is never used twice."""
        self.existing = existing
        """Whether nothing was stored: this job holds the `unique` key, or was made by the
        idempotency key."""

    def __repr__(self) -> str:
        kind = f" {self._spec.name}" if self._spec else ""
        return f"<Handle {self.id}{kind} {self._state}>"

    @property
    def state(self) -> State:
        """Where the job stood when it was last looked at."""
        return self._state

    @property
    def job(self) -> Job:
        """The whole job, as last seen."""
        return self._job if self._job is not None else self._look()

    def refresh(self) -> Handle[R_co]:
        """Look again, and return this handle. `NotFound` when the job is not in the store."""
        self._look()
        return self

    def _look(self) -> Job:
        job = self.home.store().get(self.id)
        if job is None:
            raise NotFound(f"There is no job {self.id}.")
        self._job, self._state = job, job.state
        return job

    def result(self, timeout: float | None = None) -> R_co:
        """Wait until the job has ended, and return what its handler returned.

        The value has the type the handler is annotated to return, as far as JSON tells it (of a
        union whose members look alike there, as a rule the first). Waits up to `timeout`
        seconds, by default as long as it takes. Raises `JobFailed` or `JobCancelled` with the
        job in ``.job``, `ResultTimeout`, `NotFound`, or `InvalidJob` for what is no time.
        """
        for pause in _pauses(timeout):
            if self._look().state in FINAL:
                break
            if pause is None:
                raise self._not_yet(timeout)
            time.sleep(pause)
        return self._outcome()

    async def aresult(self, timeout: float | None = None) -> R_co:
        """`result`, without blocking the running loop."""
        for pause in _pauses(timeout):
            if (await self.home.look(self._look)).state in FINAL:
                break
            if pause is None:
                raise self._not_yet(timeout)
            await asyncio.sleep(pause)
        return self._outcome()

    def _not_yet(self, timeout: float | None) -> ResultTimeout:
        return ResultTimeout(f"Job {self.id} is still {self._state} after {timeout:g} s.")

    def _outcome(self) -> R_co:
        job = self.job
        if job.state is State.SUCCEEDED:
            return self._decode(job.result)  # type: ignore[no-any-return]
        if job.state is State.CANCELLED:
            why = why_cancelled(job)
            raise JobCancelled(f"Job {job.id} ({job.kind}) was cancelled{why}.", job=job)
        reason = error_line(job.error) if job.error else str(job.outcome)
        times = "attempt" if job.attempt == 1 else "attempts"
        raise JobFailed(
            f"Job {job.id} ({job.kind}) failed after {job.attempt} {times}: {reason}", job=job
        )

    def _decode(self, text: str | None) -> Any:
        if text is None:
            return None
        if self._spec is not None:
            return self._spec.load_result(text)
        from pydantic_core import from_json  # noqa: PLC0415 - a handle alone needs none

        return from_json(text)

    def events(self, after: int = 0, *, follow: bool = False) -> Iterator[Event]:
        """Yield the job's events in order, from the one after number `after` on.

        With `follow`, wait for more until the job has ended and the last one was told.
        """
        check_type("after", after, int, "the number of an event")
        pause = FIRST_LOOK
        while True:
            ended = not follow or self._look().state in FINAL
            page = self.home.store().events(job_id=self.id, after=after, limit=PAGE)
            for event in page:
                after = event.seq
                yield event
            if len(page) == PAGE:
                continue
            if ended:
                return
            pause = FIRST_LOOK if page else min(pause * 1.5, SLOWEST_LOOK)
            time.sleep(pause)

    def cancel(self, *, reason: str = ON_REQUEST) -> State:
        """End the job, wherever it stands; return its state after.

        One that runs is told, and is ``cancelled`` once its worker has ended it. `Conflict`
        when it has already ended. `reason` is kept with it: as its error's message, at most 8 KiB
        of it, and in its record.
        """
        check_type("reason", reason, str, "a text")
        self._state = self.home.store().cancel(self.id, reason=reason)
        self._job = None
        self.home.changed()
        return self._state

    def requeue(self) -> None:
        """Run a failed or cancelled job again, under the same id, with a fresh budget.

        `Conflict` from any other state.
        """
        self.home.store().requeue(self.id)
        self.home.changed()
        self.home.requeued(self._look())
        self._look()

    def explain(self) -> str:
        """Say in words why the job is where it is, and what became of each attempt."""
        return explain(facts(self.home.store(), self._look()))


def facts(store: ClientStore, job: Job) -> Facts:
    """Return what `workhorse.explain` wants to know of a job and its surroundings."""
    stats = {queue.name: queue for queue in store.queues()}
    found = {other: store.get(other) for other in job.waits_for}
    return Facts(
        job=job,
        attempts=store.attempts(job.id),
        queue=stats.get(job.queue) or QueueStats(job.queue),
        workers=store.workers(),
        silent=store.expired_workers(),
        waits_for={other: was.state if was else None for other, was in found.items()},
    )


def _pauses(timeout: float | None) -> Iterator[float | None]:
    """Yield how long to wait before the next look; None when the time is up."""
    check_type("timeout", timeout, int | float | None, "a number of seconds")
    if timeout is not None and isnan(timeout):
        raise InvalidJob("timeout=nan is not a number of seconds.", hint="None waits for ever.")
    end = None if timeout is None else time.monotonic() + timeout
    pause = FIRST_LOOK
    while True:
        left = pause if end is None else end - time.monotonic()
        yield min(pause, left) if left > 0 else None
        pause = min(pause * 1.5, SLOWEST_LOOK)
