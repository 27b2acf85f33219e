"""Concurrent enqueues of one event loop, in one transaction.

While one flush runs in a thread, the jobs that arrive are collected for the next: the loop is
never blocked, a single job waits for nothing, and a thousand at once share a commit. There is no
timer and no task; when nothing is being enqueued, nothing runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Final

from workhorse.domain.errors import Unavailable, WorkhorseError
from workhorse.domain.job import Enqueued, NewJob

MAX_BATCH: Final = 5000
"""Most jobs of one transaction."""

Store = Callable[[Sequence[NewJob]], Sequence[Enqueued]]
Answer = Enqueued | BaseException
Waiting = tuple[NewJob, "asyncio.Future[Enqueued]"]


class Coalescer:
    """Collects the jobs of one loop. To be used on that loop's thread only.

    It holds no reference to its loop, which can thus be forgotten with it.
    """

    def __init__(self, executor: Executor, store: Store) -> None:
        self._executor = executor
        self._store = store
        self._waiting: list[Waiting] = []
        self._busy = False

    async def enqueue(self, job: NewJob) -> Enqueued:
        """Store `job`, and return when it is durable; a bad neighbour does no harm."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Enqueued] = loop.create_future()
        self._waiting.append((job, future))
        if not self._busy:
            self._busy = True
            loop.call_soon(self._flush)
        return await future

    def _flush(self) -> None:
        wanted = [item for item in self._waiting if not item[1].done()]
        batch, self._waiting = wanted[:MAX_BATCH], wanted[MAX_BATCH:]
        if not batch:
            self._busy = False
            return
        jobs = [job for job, _ in batch]
        loop = asyncio.get_running_loop()
        try:
            work = loop.run_in_executor(self._executor, enqueue_each, self._store, jobs)
        except Unavailable as error:
            self._busy = False
            _answer(wanted, [error] * len(wanted))
            self._waiting = []
            return
        work.add_done_callback(lambda done: self._flushed(batch, done))

    def _flushed(self, batch: list[Waiting], done: asyncio.Future[list[Answer]]) -> None:
        if done.cancelled():
            for _, future in batch:
                future.cancel()
        elif error := done.exception():
            _answer(batch, [error] * len(batch))
        else:
            _answer(batch, done.result())
        self._flush()


class Coalescers:
    """The two of one loop: one for jobs whose storing may have to wait for another's transaction.

    In one transaction with such a job its neighbours wait, and fail, with it. The others do not.
    """

    def __init__(self, executors: tuple[Executor, Executor], store: Store) -> None:
        self._plain, self._may_wait = (Coalescer(executor, store) for executor in executors)

    async def enqueue(self, job: NewJob) -> Enqueued:
        """Store `job`, as `Coalescer.enqueue` does."""
        may_wait = job.unique is not None or job.idempotency_key is not None or job.after
        return await (self._may_wait if may_wait else self._plain).enqueue(job)


def _answer(batch: Sequence[Waiting], answers: Sequence[Answer]) -> None:
    for (_, future), answer in zip(batch, answers, strict=True):
        if future.done():
            continue
        if isinstance(answer, BaseException):
            future.set_exception(answer)
        else:
            future.set_result(answer)


def enqueue_each(store: Store, jobs: Sequence[NewJob]) -> list[Answer]:
    """Store jobs together, and apart when one of them is refused; return an answer for each."""
    try:
        return list(store(jobs))
    except Unavailable as error:
        return [error] * len(jobs)
    except WorkhorseError as error:
        if len(jobs) == 1:
            return [error]
    plain = [job for job in jobs if not job.after]
    if not plain or len(plain) == len(jobs):
        return [answer for job in jobs for answer in enqueue_each(store, [job])]
    answers = iter(enqueue_each(store, plain))
    return [enqueue_each(store, [job])[0] if job.after else next(answers) for job in jobs]
