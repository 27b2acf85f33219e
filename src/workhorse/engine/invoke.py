"""Calling a handler, and turning whatever it does into an outcome.

The one place where user code is called: the async, thread and process executors and inline
mode all come through here.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from types import CoroutineType
from typing import TYPE_CHECKING

from workhorse.arguments import UnknownArgument
from workhorse.context import Context, Reject, Snooze
from workhorse.domain.errors import InvalidJob
from workhorse.domain.outcome import (
    AttemptOutcome,
    Completed,
    Failed,
    Failure,
    Rejected,
    Snoozed,
)
from workhorse.engine.forks import FORKS, end
from workhorse.failure import failure_from
from workhorse.text import safe_text

if TYPE_CHECKING:
    from workhorse.domain.events import Output
    from workhorse.domain.job import Claimed
    from workhorse.domain.retry import Retry
    from workhorse.spec import KindSpec

Emit = Callable[["Output", str], None]
Stopping = Callable[[], bool]


def context_for(job: Claimed, emit: Emit, stopping: Stopping) -> Context:
    """Return the `Context` a handler of this attempt is given."""
    return Context(
        job_id=job.id,
        attempt=job.attempt,
        kind=job.kind,
        queue=job.queue,
        emit=emit,
        stopping=stopping,
    )


def outcome_of(error: BaseException, retry: Retry, *, in_handler: bool) -> AttemptOutcome:
    """Return the outcome of an attempt that raised `error`, in its handler or before or after it.

    Where the error's own class keeps that from being told, the attempt has failed for good.
    """
    failure = failure_from(error)
    try:
        return _judged(error, failure, retry, in_handler=in_handler)
    except Exception as odd:  # noqa: BLE001 - else the attempt would never end
        told = f"{failure.message} (what it means cannot be told: {safe_text(repr(odd))})"
        return Failed(failure._replace(message=safe_text(told)), permanent=True)


def _judged(
    error: BaseException, failure: Failure, retry: Retry, *, in_handler: bool
) -> AttemptOutcome:
    if isinstance(error, Snooze):
        snooze = Snooze(error.seconds, error.reason)  # a class of the handler's may hold anything
        return Snoozed(snooze.seconds, snooze.reason)
    if isinstance(error, Reject):
        return Rejected(failure.message)
    never = retry.refuses(error)
    if isinstance(error, MemoryError):
        return Failed(failure, permanent=never, out_of_memory=True)
    if isinstance(error, InvalidJob) and not (in_handler or isinstance(error, UnknownArgument)):
        # Arguments that do not fit it, or a result that JSON cannot hold: no attempt changes that.
        return Failed(failure, permanent=True)
    permanent = never or (isinstance(error, Exception) and not retry.wants(error))
    return Failed(failure, permanent=permanent)


def call_sync(
    kind: KindSpec,
    job: Claimed,
    emit: Emit,
    stopping: Stopping,
    *,
    passing: tuple[type[BaseException], ...] = (),
) -> AttemptOutcome:
    """Run a ``def`` handler here and now; an ``async def`` one on a loop of its own.

    An exception that is one of `passing` is the caller's to judge.
    """
    forks, in_handler = FORKS.depth, False
    try:
        if kind.is_async:
            with asyncio.Runner() as runner:
                FORKS.keep_to_parent(runner.get_loop())
                return runner.run(call_async(kind, job, emit, stopping))
        args, kwargs = kind.load_args(job.args)
        if kind.context is not None:
            args = (context_for(job, emit, stopping), *args)
        in_handler = True
        value = contextvars.copy_context().run(kind.func, *args, **kwargs)
        if forks != FORKS.depth:
            end()
        in_handler = False
        _check_awaited(value)
        return Completed(None if value is None else kind.dump_result(value))
    except passing:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever user code raises is an outcome
        if forks != FORKS.depth:
            end(error)
        return outcome_of(error, kind.retry_in(job.queue), in_handler=in_handler)


def _check_awaited(value: object) -> None:
    """Refuse what a ``def`` around an ``async def`` returns: the work was not done."""
    if isinstance(value, CoroutineType):
        value.close()
        raise InvalidJob(
            f"The handler returned a coroutine, {value.__qualname__}, that nobody has awaited.",
            hint="Make what wraps it an `async def` that awaits it.",
        )


async def call_async(
    kind: KindSpec, job: Claimed, emit: Emit, stopping: Stopping
) -> AttemptOutcome:
    """Run an ``async def`` handler on this loop. `CancelledError` is the caller's to judge."""
    forks, in_handler = FORKS.depth, False
    try:
        args, kwargs = kind.load_args(job.args)
        if kind.context is not None:
            args = (context_for(job, emit, stopping), *args)
        in_handler = True
        value = await kind.func(*args, **kwargs)
        if forks != FORKS.depth:
            end()
        in_handler = False
        return Completed(None if value is None else kind.dump_result(value))
    except BaseException as error:
        if forks != FORKS.depth:
            end(error)
        if isinstance(error, asyncio.CancelledError):
            raise
        return outcome_of(error, kind.retry_in(job.queue), in_handler=in_handler)
