"""What ``@app.job`` turns a function into: a kind that can be called, enqueued and bound.

The function's own parameters are the parameters of `enqueue`, `aenqueue` and `bind`, without
the context: a type checker sees a wrong, a missing and an extra argument.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime, timedelta
from functools import update_wrapper
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Generic,
    NamedTuple,
    ParamSpec,
    Protocol,
    TypeVar,
    cast,
    overload,
)

from workhorse.context import Context
from workhorse.options import NO_OPTIONS, UNSET, HasId, Options, Unset

if TYPE_CHECKING:
    from workhorse.domain.events import Output
    from workhorse.domain.job import NewJob, PriorityName
    from workhorse.handle import Handle
    from workhorse.spec import KindSpec

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")


class Order(NamedTuple):
    """A job ready to be stored, with the kind that decodes its result."""

    job: NewJob
    spec: KindSpec
    session: Any = None


class Sender(Protocol):
    """The app, as its kinds see it."""

    @property
    def place(self) -> str:
        """The URL of its store."""

    def prepare(self, spec: KindSpec, args: str, options: Options) -> Order:
        """Return the order for one job."""

    def send(self, order: Order) -> Handle[Any]:
        """Store it, now."""

    async def asend(self, order: Order) -> Handle[Any]:
        """Store it without blocking the running loop."""


class Bound(Generic[R_co]):
    """A kind with its arguments, checked and encoded: to be enqueued with others.

    Made by `Kind.bind`; see `Workhorse.enqueue_many`.
    """

    __slots__ = ("app", "order")

    def __init__(self, app: Sender, order: Order) -> None:
        self.app = app
        self.order = order

    def __repr__(self) -> str:
        return f"<Bound {self.order.job.kind} {self.order.job.args[:80]}>"


class Prepared(Generic[P, R_co]):
    """A kind with options for the next enqueue. Frozen: `using` returns another."""

    def __init__(self, app: Sender, spec: KindSpec, options: Options = NO_OPTIONS) -> None:
        self._app = app
        self.spec = spec
        self.options = options

    # A kind of an `async def` function promises what is awaited, not the awaitable.

    @overload
    def enqueue(
        self: Prepared[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Handle[T]: ...
    @overload
    def enqueue(self, /, *args: P.args, **kwargs: P.kwargs) -> Handle[R_co]: ...
    def enqueue(self, /, *args: Any, **kwargs: Any) -> Handle[Any]:
        """Store one job and return its handle; when this returns, the job is durable.

        Raises `InvalidJob` (naming every wrong argument) or `TooLarge` with nothing stored,
        and `Unavailable` when the store cannot take it now, or its answer was lost.
        """
        return self._app.send(self._order(args, kwargs))

    @overload
    async def aenqueue(
        self: Prepared[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Handle[T]: ...
    @overload
    async def aenqueue(self, /, *args: P.args, **kwargs: P.kwargs) -> Handle[R_co]: ...
    async def aenqueue(self, /, *args: Any, **kwargs: Any) -> Handle[Any]:
        """`enqueue`, without blocking the running loop; calls at the same time share a commit."""
        return await self._app.asend(self._order(args, kwargs))

    @overload
    def bind(self: Prepared[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> Bound[T]: ...
    @overload
    def bind(self, /, *args: P.args, **kwargs: P.kwargs) -> Bound[R_co]: ...
    def bind(self, /, *args: Any, **kwargs: Any) -> Bound[Any]:
        """Check the arguments now and enqueue later, with others: see `Workhorse.enqueue_many`."""
        return Bound(self._app, self._order(args, kwargs))

    def _order(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Order:
        return self._app.prepare(self.spec, self.spec.dump_args(args, kwargs), self.options)

    def using(
        self,
        *,
        delay: float | timedelta | None = None,
        run_at: datetime | int | None = None,
        priority: PriorityName | int | None = None,
        queue: str | None = None,
        unique: str | None = None,
        idempotency_key: str | None = None,
        after: Iterable[HasId | int] | HasId | int | None = None,
        timeout: float | Unset | None = UNSET,
        max_attempts: int | None = None,
        session: Any = None,
    ) -> Prepared[P, R_co]:
        """Return this kind with other options for its next enqueue.

        Args:
            delay: Seconds (or a timedelta) until the job is due.
            run_at: When it is due: a datetime with a time zone, or milliseconds since 1970.
            priority: low, normal, high, critical or any integer; higher starts first.
            queue: Another queue than the kind's.
            unique: A key that one unfinished job may hold; enqueuing a second one returns
                a handle of the first, or raises `Conflict` when that is of another kind.
            idempotency_key: A key that makes one job for as long as that is kept, finished or
                not: enqueuing again, also after an answer that was lost, returns a handle of it
                (``existing``), whatever else is asked for; `Conflict` when the kind is another.
            after: Jobs of the same store, by handle or id, that must succeed first. When one of
                them does not, or did not, this one is cancelled.
            timeout: Seconds an attempt may take; None for no limit.
            max_attempts: The budget of failures.
            session: An open transaction of yours in the app's database: a connection of its
                driver, or a session or connection of SQLAlchemy or Django. The job exists when
                you commit. One that belongs to an event loop (asyncpg, psycopg, SQLAlchemy's
                AsyncSession on them) is used by ``aenqueue``.
        """
        given = {
            "delay": delay,
            "run_at": run_at,
            "priority": priority,
            "queue": queue,
            "unique": unique,
            "idempotency_key": idempotency_key,
            "after": after,
            "timeout": timeout,
            "max_attempts": max_attempts,
            "session": session,
        }
        return Prepared(self._app, self.spec, self.options.merged(given))


class Kind(Prepared[P, R_co]):
    """A registered function: calling it runs the function here and now, as if undecorated.

    `R_co` is what such a call returns: for an ``async def`` function, a coroutine.
    """

    def __init__(self, app: Sender, spec: KindSpec) -> None:
        super().__init__(app, spec)
        # Its name, docstring and annotations, but none of its attributes: they could be ours.
        update_wrapper(cast("Callable[..., R_co]", self), spec.func, updated=())

    @property
    def name(self) -> str:
        """The name its jobs go by."""
        return self.spec.name

    def __repr__(self) -> str:
        return f"<Kind {self.spec.name}>"

    def __reduce__(self) -> str:
        """Be pickled, and copied, as a function is: by the name it can be imported by."""
        return str(getattr(self, "__qualname__", self.spec.name))

    @overload
    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R_co: ...
    @overload
    def __call__(self, ctx: Context, /, *args: P.args, **kwargs: P.kwargs) -> R_co: ...
    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call the function itself, with or without a context."""
        name = self.spec.context
        given = name in kwargs or (args and isinstance(args[0], Context))
        if name is not None and not given:
            args = (_nowhere(self.spec), *args)
        return self.spec.func(*args, **kwargs)


class JobDecorator(Protocol):
    """What ``app.job(…)`` with options returns."""

    @overload
    def __call__(self, func: Callable[Concatenate[Context, P], R], /) -> Kind[P, R]: ...
    @overload
    def __call__(self, func: Callable[P, R], /) -> Kind[P, R]: ...


def _nowhere(spec: KindSpec) -> Context:
    """Return the context of a plain call: what is said to it goes nowhere."""

    def emit(name: Output, data: str) -> None:
        """Keep nothing."""

    return Context(
        job_id=0, attempt=0, kind=spec.name, queue=spec.queue, emit=emit, stopping=lambda: False
    )
