"""Calls as users write them. Every line that is wrong says which error it must be.

`make check` keeps this honest one way, by mypy and by Pyright: a comment that silences nothing is
an error. The test keeps it honest the other way: without the comments exactly these lines are
errors. Nothing here is ever run.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from datetime import timedelta
from typing import Any, ParamSpec, TypeVar, assert_type

import workhorse
from workhorse import Bound, Context, Handle, Job, JobFailed, Kind, Priority, Retry, Workhorse

P = ParamSpec("P")
R = TypeVar("R")

app = Workhorse()


@app.job
def plain(a: int, b: str = "") -> int:
    return a


@app.job(queue="builds", priority="high", retry=Retry(max_attempts=3), timeout=None, run="process")
def with_context(ctx: Context, a: int, *, b: str) -> list[str]:
    return [b] * a


@app.job
async def awaited(a: int) -> str:
    return str(a)


@app.job(retry=Retry(on=ValueError, never=[KeyError, IndexError]))
def picky(a: int) -> int:
    return a


@app.job(timeout=5)
async def awaited_with_context(ctx: Context, a: int) -> dict[str, int]:
    return {"a": a}


@app.job
def anything(a: int) -> Any:
    return a


@app.job
def anything_with_context(ctx: Context, a: int) -> Any:
    return a


@app.job
def nothing() -> None: ...


def traced(func: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    """A decorator of async functions as they are usually typed."""
    return func


@app.job
@traced
async def decorated(a: int) -> str:
    return str(a)


# What is returned.
assert_type(decorated.enqueue(1), Handle[str])
assert_type(decorated.bind(1), Bound[str])
assert_type(plain.enqueue(1), Handle[int])
assert_type(plain.enqueue(1).result(), int)
assert_type(with_context.enqueue(1, b="x"), Handle[list[str]])
assert_type(nothing.enqueue(), Handle[None])
assert_type(anything.enqueue(1), Handle[Any])
assert_type(awaited.enqueue(1), Handle[str])
assert_type(awaited.enqueue(1).result(timeout=5), str)
assert_type(awaited_with_context.enqueue(1), Handle[dict[str, int]])
assert_type(plain.bind(1), Bound[int])
assert_type(awaited.bind(1), Bound[str])
assert_type(app.enqueue_many([plain.bind(1), plain.bind(2)]), list[Handle[int]])
assert_type(app.get(1), Handle[Any])
assert_type(app.enqueue_by_name("plain", {"a": 1}), Handle[Any])
assert_type(app.kind("plain"), Kind[..., Any])


async def on_a_loop() -> None:
    assert_type(await plain.aenqueue(1), Handle[int])
    assert_type(await awaited.aenqueue(1), Handle[str])
    assert_type(await (await awaited.aenqueue(1)).aresult(), str)
    assert_type(await app.aenqueue_many([awaited.bind(1)]), list[Handle[str]])
    assert_type(await awaited(1), str)
    await plain.aenqueue("1")  # type: ignore[arg-type]
    await plain.aenqueue()  # type: ignore[call-arg]
    await awaited.aenqueue("1")  # type: ignore[call-overload]
    plain.aenqueue(1)  # type: ignore[unused-coroutine]


def when_it_fails(handle: Handle[int]) -> Mapping[str, Any] | None:
    try:
        handle.result()
    except JobFailed as failed:
        assert_type(failed.job, Job)
        return failed.job.error
    return None


# A name that is not there.
print(workhorse.Wokrhorse)  # type: ignore[attr-defined]

# A wrong argument.
picky.enqueue("1")  # type: ignore[arg-type]
plain.enqueue("1")  # type: ignore[arg-type]
plain.enqueue(1, 2)  # type: ignore[arg-type]
plain.enqueue(a=None)  # type: ignore[arg-type]
plain.bind("1")  # type: ignore[arg-type]
with_context.enqueue("1", b="x")  # type: ignore[arg-type]
awaited.enqueue("1")  # type: ignore[call-overload]
awaited.bind("1")  # type: ignore[call-overload]
anything.enqueue("1")  # type: ignore[call-overload]

# A missing one.
plain.enqueue()  # type: ignore[call-arg]
plain.bind()  # type: ignore[call-arg]
with_context.enqueue(1)  # type: ignore[call-arg]
awaited.enqueue()  # type: ignore[call-overload]

# One too many.
plain.enqueue(1, "x", 3)  # type: ignore[call-arg]
plain.enqueue(1, c=3)  # type: ignore[call-arg]
plain.bind(1, c=3)  # type: ignore[call-arg]
with_context.enqueue(1, "x")  # type: ignore[call-arg]
nothing.enqueue(1)  # type: ignore[call-arg]
awaited.enqueue(1, 2)  # type: ignore[call-overload]


# The context is never an argument of `enqueue`, and may be one of a plain call.
def call(ctx: Context) -> None:
    with_context.enqueue(ctx, b="x")  # type: ignore[arg-type]
    assert_type(with_context(1, b="x"), list[str])
    assert_type(with_context(ctx, 1, b="x"), list[str])
    assert_type(plain(1), int)
    _text: Coroutine[Any, Any, str] = awaited(1)
    _table: Coroutine[Any, Any, dict[str, int]] = awaited_with_context(ctx, 1)
    _wrong: Coroutine[Any, Any, int] = awaited(1)  # type: ignore[assignment]
    plain("1")  # type: ignore[call-overload]
    with_context("1", b="x")  # type: ignore[call-overload]
    with_context(ctx, 1)  # type: ignore[call-overload]


# Options of one enqueue.
later = plain.using(delay=timedelta(hours=1), priority="high", unique="k", after=[1], timeout=None)
assert_type(later.enqueue(1), Handle[int])
assert_type(awaited.using(queue="q").enqueue(1), Handle[str])
assert_type(later.using(delay=5).bind(1), Bound[int])
assert_type(plain.using(idempotency_key="order-17").enqueue(1), Handle[int])
plain.using(idempotency_key=17)  # type: ignore[arg-type]
later.enqueue("1")  # type: ignore[arg-type]
plain.using(dealy=5)  # type: ignore[call-arg]
plain.using(delay="5")  # type: ignore[arg-type]
plain.using(after=plain.enqueue(1)).enqueue(1)
plain.using(after=["1"])  # type: ignore[list-item]
plain.using(1)  # type: ignore[call-arg]
plain.using(priority=7).using(priority=Priority["high".upper()])
plain.using(priority="urgent")  # type: ignore[arg-type]
app.queue("letters", priority="critical")
app.queue("letters", priority="hihg")  # type: ignore[arg-type]

# Options of a kind, and what can be one.
app.job(retries=3)  # type: ignore[call-overload]
app.job(run="fiber")  # type: ignore[call-overload]
app.job(priority="hgih")  # type: ignore[call-overload]
app.job(5)  # type: ignore[call-overload]
app.enqueue_many([plain])  # type: ignore[arg-type]

# Where mypy cannot tell: with a context, a handler that returns `Any` is not checked. Say `object`.
anything_with_context.enqueue("1", 2, 3)  # pyright: ignore[reportCallIssue]
