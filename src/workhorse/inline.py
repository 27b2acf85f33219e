"""Inline mode: a job runs in the process that enqueues it, before `enqueue` returns.

The job is stored, claimed and settled like any other, by a worker that lives as long as the job:
the same edges, events, fences and limits. What is different: a failed attempt is tried again at
once, without its backoff; a ``def`` handler cannot be ended by a time limit or a cancel (it sees
``ctx.cancelled``), nor can an ``async def`` one that swallows its cancellation; ``run="process"``
kinds run in this process too; a paused queue holds nothing up. A delayed or snoozed job stays
scheduled, one that waits for a job still running (by whose handler it was enqueued) stays blocked
until that has ended. One enqueued in the caller's own transaction, or requeued where its kind is
not known, stays available: a worker, or nobody, runs it.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import random
import socket
import threading
import time
import uuid
from collections.abc import Callable, Coroutine, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self

from workhorse.domain.errors import Unavailable
from workhorse.domain.outcome import (
    AttemptOutcome,
    Cancelled,
    Failed,
    Released,
    TimedOut,
)
from workhorse.domain.transitions import Verb, settle
from workhorse.engine.ended import HELD_UP
from workhorse.engine.invoke import call_async, call_sync
from workhorse.engine.lease import take_lock
from workhorse.engine.locks import lock_path
from workhorse.engine.loops import run_to_the_end
from workhorse.engine.output import OutputBuffer
from workhorse.failure import failure_from
from workhorse.store.protocol import NewWorker, Settled

if TYPE_CHECKING:
    from workhorse.domain.job import Claimed
    from workhorse.spec import KindSpec
    from workhorse.store.protocol import Store

LEASE: Final = 60.0
"""How long a silent process keeps its jobs, in seconds."""
RENEW: Final = 10.0
LOOK: Final = 0.5
"""How often a running job's cancel request is looked for, in seconds."""
PATIENCE: Final = 10.0
"""How long an end is handed in again that another's transaction keeps from being written, in
seconds: the transaction may be the caller's own, which waits for this."""


def run_inline(store: Store, kinds: Mapping[str, KindSpec], job_id: int) -> None:
    """Run one job here until it is not to be run again at once. Its outcome is in the store."""
    with _worker(store, kinds) as worker:
        while (job := store.claim_job(worker, job_id)) is not None:
            if _attempt(store, worker, kinds[job.kind], job) is not Verb.RETRY:
                return


@contextlib.contextmanager
def _worker(store: Store, kinds: Mapping[str, KindSpec]) -> Iterator[int]:
    """Register a worker for this run, and retire it whatever happens."""
    worker = store.register(
        NewWorker(
            host=socket.gethostname(),
            pid=os.getpid(),
            queues=(),
            kinds=tuple(sorted(kinds)),
            processes=1,
            concurrency=1,
            lease=LEASE,
        )
    )
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(_locked(store, worker))
            yield worker
        finally:
            store.retire(worker)


@contextlib.contextmanager
def _locked(store: Store, worker: int) -> Iterator[None]:
    """Hold the worker's file locked: others see at once when this process is gone."""
    run_dir = store.run_dir
    if run_dir is None:
        yield
        return
    fd = take_lock(run_dir, worker, uuid.uuid4().hex)
    try:
        yield
    finally:
        lock_path(run_dir, worker).unlink(missing_ok=True)
        os.close(fd)


def _attempt(store: Store, worker: int, kind: KindSpec, job: Claimed) -> Verb | None:
    """Run one attempt, from claimed to settled; return its edge, None when the lease was lost."""
    output = OutputBuffer(lambda: None)
    output.begin(job.id, job.attempt)
    with _Keeper(store, worker) as keeper:
        try:
            outcome = _perform(kind, job, output, keeper.asked)
        except BaseException as stop:
            outcome = Released(f"interrupted by {type(stop).__name__}")
            _settle(store, worker, job, outcome, output)
            raise
    if keeper.asked.is_set() and isinstance(outcome, Failed):
        outcome = Cancelled()
    return _settle(store, worker, job, outcome, output)


def _settle(
    store: Store, worker: int, job: Claimed, outcome: AttemptOutcome, output: OutputBuffer
) -> Verb | None:
    output.forget(job.id, job.attempt)
    change = settle(job, outcome, chance=random.random())
    ended = [Settled(job.id, job.attempt, change)]
    turn = store.turn(worker, ended, output.take(), None)
    give_up = time.monotonic() + PATIENCE
    while turn.held_up and time.monotonic() < give_up:
        time.sleep(HELD_UP)
        turn = store.turn(worker, ended, (), None)
    while turn.unswept and store.sweep():
        pass
    return None if turn.stale or turn.held_up else change.verb


def _perform(
    kind: KindSpec, job: Claimed, output: OutputBuffer, asked: threading.Event
) -> AttemptOutcome:
    emit = partial(output.emit, job.id, job.attempt)
    if kind.is_async:
        return _on_a_loop(_run_async(kind, job, emit, asked))
    return call_sync(kind, job, emit, asked.is_set, passing=(KeyboardInterrupt,))


async def _run_async(
    kind: KindSpec, job: Claimed, emit: Callable[..., None], asked: threading.Event
) -> AttemptOutcome:
    """Run a handler on this loop, and end it when its time is up or it was cancelled."""
    told = threading.Event()
    task = asyncio.ensure_future(call_async(kind, job, emit, told.is_set))
    deadline = float("inf") if job.timeout is None else time.monotonic() + job.timeout
    stop: AttemptOutcome | None = None
    while not task.done() and stop is None:
        left = deadline - time.monotonic()
        if asked.is_set():
            stop = Cancelled()
        elif left <= 0:
            stop = TimedOut(job.timeout or 0.0)
        else:
            await asyncio.wait({task}, timeout=min(left, LOOK))
    if stop is not None:
        told.set()
        task.cancel()
        await asyncio.wait({task})
        return stop
    try:
        return task.result()
    except asyncio.CancelledError as error:
        return Failed(failure_from(error))


def _on_a_loop(work: Coroutine[Any, Any, AttemptOutcome]) -> AttemptOutcome:
    """Run a coroutine on a loop of its own; in a thread when this one has a loop running."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return run_to_the_end(work, passing=(KeyboardInterrupt,))
    found: list[AttemptOutcome | BaseException] = []

    def run() -> None:
        try:
            found.append(run_to_the_end(work, passing=(KeyboardInterrupt,)))
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
            found.append(error)

    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(run,), name="workhorse-inline")
    thread.start()
    thread.join()
    outcome = found[0]
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


class _Keeper:
    """While a job runs: renews the worker's lease, and notices when the job is to be cancelled."""

    def __init__(self, store: Store, worker: int) -> None:
        self.asked = threading.Event()
        self._store = store
        self._worker = worker
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="workhorse-lease", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _keep(self) -> None:
        renewed = time.monotonic()
        while not self._over.wait(LOOK):
            with contextlib.suppress(Unavailable):
                if self._store.cancel_requests(self._worker):
                    self.asked.set()
                if time.monotonic() - renewed >= RENEW:
                    self._store.renew(self._worker, LEASE)
                    renewed = time.monotonic()
