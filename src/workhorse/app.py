"""The app: where functions become kinds, and jobs are enqueued and looked up.

An app is cheap to make: the store is opened when it is first used.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar, overload

from workhorse.context import Context
from workhorse.domain.errors import ConfigurationError, InvalidJob, NotFound, UnknownKind
from workhorse.domain.job import (
    Enqueued,
    Job,
    NewJob,
    PriorityName,
    State,
    check_name,
    check_type,
)
from workhorse.domain.retry import Retry
from workhorse.handle import Handle, Home
from workhorse.kind import Bound, JobDecorator, Kind, Order, Prepared, Sender
from workhorse.nearest import nearest
from workhorse.options import (
    NO_OPTIONS,
    UNSET,
    Defaults,
    HasId,
    Options,
    Unset,
    as_defaults,
    new_job,
    terms_of,
)
from workhorse.session import aenqueue_in, enqueue_in
from workhorse.sources import DEFAULT_DATABASE_URL, configured_url
from workhorse.spec import KindSpec, Run, make_spec
from workhorse.threads import Threads
from workhorse.urls import mask_url, sqlite_path, sqlite_url

if TYPE_CHECKING:
    from workhorse.coalesce import Coalescers
    from workhorse.engine.wake import Wake
    from workhorse.store.protocol import Store

P = ParamSpec("P")
R = TypeVar("R")

ENQUEUE_MANY: int = 100_000
"""Most jobs of one `enqueue_many`: it is one transaction."""


class Workhorse:
    """An app: its kinds, and the store its jobs are in; ``with`` closes it in the end.

    Args:
        url: The store, as ``sqlite:///relative.db`` or ``sqlite:////absolute.db``, or a
            `pathlib.Path` of its file; by default the one that is configured
            (``WORKHORSE_DATABASE_URL``, ``workhorse.toml``, …), else ``./.workhorse/jobs.db``.
        inline: Run each job where it is enqueued, without a worker: for tests and scripts.
    """

    def __init__(self, url: str | PathLike[str] | None = None, *, inline: bool = False) -> None:
        self.url = _url_of(url) or configured_url() or DEFAULT_DATABASE_URL
        self.inline = inline
        self._declared: dict[str, Defaults] = {}
        self._queues: dict[str, Defaults] = {}
        self._specs: dict[str, KindSpec] = {}
        self._kinds: dict[str, Kind[..., Any]] = {}
        self._templates: dict[str, NewJob] = {}
        self._lock = threading.RLock()
        self._folder = ""
        """Where a relative path in `url` begins, wherever this process goes later."""
        with suppress(FileNotFoundError):  # a folder that is gone: what needs one will say so
            self._folder = str(Path.cwd())
        self._store: Store | None = None
        self._lent: Counter[Store] = Counter()
        self._wake: Wake | None = None
        self._threads: Threads | None = None
        self._coalescers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Coalescers]
        self._coalescers = weakref.WeakKeyDictionary()
        self._home = Home(
            lambda: self.place, lambda: self.store, self._look, self._ring, self._requeued
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Workhorse {len(self._specs)} kinds>"

    @property
    def kinds(self) -> Mapping[str, Kind[..., Any]]:
        """The registered kinds by name."""
        return MappingProxyType(self._kinds)

    @property
    def specs(self) -> Mapping[str, KindSpec]:
        """What a worker knows of each kind, by its name."""
        return MappingProxyType(self._specs)

    @property
    def store(self) -> Store:
        """The store, opened at the first use. Raises `Unavailable` in one clear line."""
        store = self._store  # once: another thread may close the app meanwhile
        if store is None:
            with self._lock:
                if (store := self._store) is None:
                    from workhorse.store.opening import open_store  # noqa: PLC0415 - lazy

                    store = self._store = open_store(self.place)
        return store

    @property
    def place(self) -> str:
        """The URL of the store, whatever folder this process is in now."""
        path = sqlite_path(self.url)
        if path is None or not path.name:
            return self.url
        _, mark, options = self.url.partition("?")
        return sqlite_url(Path(self._folder, path)) + mark + options

    @contextmanager
    def lend(self) -> Iterator[Store]:
        """Give the store to who runs handlers on it: it stays open until the end of this.

        A handler may close the app: its next use opens another then.
        """
        with self._lock:
            store = self.store
            self._lent[store] += 1
        try:
            yield store
        finally:
            with self._lock:
                self._lent[store] -= 1
                is_over = not self._lent[store] and store is not self._store
                self._lent += Counter()  # forgets those that nobody has any more
            if is_over:
                store.close()

    def close(self) -> None:
        """Let go of the store; the next use opens it again. Idempotent.

        To be called on either side of an `os.fork`: no store that is open may go through one.
        An app that nobody has any more lets go of it by itself.
        """
        with self._lock:
            threads, self._threads = self._threads, None
            self._coalescers.clear()
        if threads is not None:
            threads.close()  # what they are storing needs the store once more
        with self._lock:
            wake, self._wake = self._wake, None
            store, self._store = self._store, None
            is_lent = store in self._lent
        if wake is not None:
            wake.close()
        if store is not None and not is_lent:
            store.close()

    # ── kinds and queues ────────────────────────────────────────────────────────────────────

    @overload
    def job(self, func: Callable[Concatenate[Context, P], R], /) -> Kind[P, R]: ...
    @overload
    def job(self, func: Callable[P, R], /) -> Kind[P, R]: ...
    @overload
    def job(
        self,
        *,
        name: str | None = None,
        queue: str = "default",
        priority: PriorityName | int | None = None,
        retry: Retry | int | None = None,
        timeout: float | Unset | None = UNSET,
        run: Run | None = None,
    ) -> JobDecorator: ...
    def job(  # type: ignore[misc]
        self,
        func: Callable[..., Any] | None = None,
        /,
        *,
        name: str | None = None,
        queue: str = "default",
        priority: PriorityName | int | None = None,
        retry: Retry | int | None = None,
        timeout: float | Unset | None = UNSET,
        run: Run | None = None,
    ) -> Any:
        """Register a function as a kind; as ``@app.job`` or ``@app.job(…)``.

        Args:
            func: The handler: ``def`` or ``async def``. A first parameter annotated with
                `Context` (or named ``ctx``, without annotation) is given the context. Annotate
                what it returns: mypy checks no call of one with a context that returns `Any`.
            name: The kind's name; by default the function's.
            queue: Where its jobs wait.
            priority: low, normal (the default), high, critical, or any integer.
            retry: When it is tried again, or only how many failures it may have.
            timeout: Seconds an attempt may take: 3600 when nothing is said, None for no limit.
            run: ``"async"`` (every ``async def``), ``"thread"`` (every ``def``), or
                ``"process"``: a process of its own.

        Raises `ConfigurationError` for a function that cannot be a handler and for a name
        that is taken, `InvalidJob` for an option that makes no sense.
        """
        declared = as_defaults(retry, timeout, priority)

        def register(function: Callable[..., Any]) -> Kind[..., Any]:
            if isinstance(function, Kind):  # of another app
                function = function.spec.func
            spec = make_spec(function, name=name, run=run, queue=queue)
            return self._register(spec, declared)

        return register if func is None else register(func)

    def _register(self, spec: KindSpec, declared: Defaults) -> Kind[..., Any]:
        with self._lock:
            if (taken := self._specs.get(spec.name)) is not None:
                raise ConfigurationError(
                    f"Two kinds are called {spec.name!r}: {taken.where} and {spec.where}.",
                    hint="Give one of them another name, as in @app.job(name=…).",
                )
            self._declared[spec.name] = declared

            def retry_in(queue: str) -> Retry:
                return terms_of(declared, self._queues.get(queue)).retry

            spec = replace(spec, retry_in=retry_in)
            kind: Kind[..., Any] = Kind(self, spec)
            self._specs[spec.name] = spec
            self._kinds[spec.name] = kind
        return kind

    def queue(
        self,
        name: str,
        *,
        retry: Retry | int | None = None,
        timeout: float | Unset | None = UNSET,
        priority: PriorityName | int | None = None,
    ) -> None:
        """Say what holds for the jobs of a queue wherever their kind says nothing itself."""
        with self._lock:
            self._queues[check_name("queue", name)] = as_defaults(retry, timeout, priority)
            self._templates.clear()

    # ── enqueue ─────────────────────────────────────────────────────────────────────────────

    def prepare(self, spec: KindSpec, args: str, options: Options) -> Order:
        """Return the job one enqueue asks for, ready to be stored."""
        if options is not NO_OPTIONS:
            if options.after is not None:
                self._refuse_elsewhere(options.after)
            job = new_job(spec, args, options, self._declared[spec.name], self._queues)
            return Order(job, spec, options.session)
        job = self._templates.get(spec.name) or self._template(spec)
        if args != "{}":
            job = _with_args(job, args)
        return Order(job, spec)

    def _template(self, spec: KindSpec) -> NewJob:
        job = new_job(spec, "{}", NO_OPTIONS, self._declared[spec.name], self._queues)
        self._templates[spec.name] = job
        return job

    def send(self, order: Order) -> Handle[Any]:
        """Store one job; in inline mode, run it."""
        job, spec, session = order
        if session is not None:
            return self._handle(enqueue_in(session, self.store, [job])[0], spec)
        found = self.store.enqueue([job])[0]
        self._ring()
        if self.inline and self._run_inline(found):
            return self._handle(found, spec).refresh()
        return self._handle(found, spec)

    async def asend(self, order: Order) -> Handle[Any]:
        """Store one job without blocking the loop; in inline mode, run it in a thread.

        That one is the loop's: a handler takes its time, and may await an enqueue of its own.
        """
        job, spec, session = order
        if session is not None:
            return self._handle((await aenqueue_in(session, self.store, [job]))[0], spec)
        if self.inline:
            return await asyncio.to_thread(self.send, order)
        found = await self._coalescers_here().enqueue(job)
        return self._handle(found, spec)

    def enqueue_many(self, jobs: Iterable[Bound[R]]) -> list[Handle[R]]:
        """Store many bound jobs, all or none, in one transaction; return their handles in order."""
        orders = self._orders(jobs)
        session = _one_session(orders)
        if session is None:
            return self._send_all(orders)
        new = [order.job for order in orders]
        return self._handles(enqueue_in(session, self.store, new), orders)

    async def aenqueue_many(self, jobs: Iterable[Bound[R]]) -> list[Handle[R]]:
        """`enqueue_many`, without blocking the running loop."""
        orders = self._orders(jobs)
        session = _one_session(orders)
        if session is None:
            if self.inline:  # as `asend` does
                return await asyncio.to_thread(self._send_all, orders)
            return await self._threads_here().enqueue_many(lambda: self._send_all(orders))
        new = [order.job for order in orders]
        return self._handles(await aenqueue_in(session, self.store, new), orders)

    def enqueue_by_name(self, kind: str, args: Mapping[str, Any], **options: Any) -> Handle[Any]:
        """Store a job of a kind given by name, with arguments from a JSON object.

        `options` are those of `Kind.using`. Raises `UnknownKind` with the nearest name,
        `InvalidJob` naming every wrong argument; nothing is stored then.
        """
        registered = self.kind(kind)
        spec = registered.spec
        chosen = NO_OPTIONS.merged(options) if options else NO_OPTIONS
        return self.send(self.prepare(spec, spec.check_args(args), chosen))

    def kind(self, name: str) -> Kind[..., Any]:
        """Return the kind of that name. Raises `UnknownKind` with the nearest name there is."""
        try:
            return self._kinds[name]
        except KeyError:
            raise UnknownKind(
                f"There is no kind {name!r} in this app.", hint=_nearest(name, self._kinds)
            ) from None

    def get(self, job_id: int) -> Handle[Any]:
        """Return a handle of any job in the store. Raises `NotFound`."""
        check_type("job_id", job_id, int, "an integer")
        job = self.store.get(job_id) if 0 < job_id < 2**63 else None
        if job is None:
            raise NotFound(f"There is no job {job_id}.")
        spec = self._specs.get(job.kind)
        return Handle(self._home, job.id, job.state, spec=spec, job=job)

    # ── inside ──────────────────────────────────────────────────────────────────────────────

    def _orders(self, jobs: Iterable[Bound[Any]]) -> list[Order]:
        """Return what bound jobs ask for; refuse more than one transaction holds.

        Those of an app on another store are refused too: here nobody may know their kind.
        """
        orders: list[Order] = []
        others: dict[Sender, str] = {}
        for bound in jobs:
            if not isinstance(bound, Bound):
                raise InvalidJob(
                    f"enqueue_many takes bound jobs, not a {type(bound).__name__}.",
                    hint="Make them with kind.bind(…).",
                )
            if bound.app is not self:
                others[bound.app] = bound.order.job.kind
            orders.append(bound.order)
        if len(orders) > ENQUEUE_MANY:
            raise InvalidJob(
                f"{len(orders):,} jobs are too many for one transaction.",
                hint=f"Enqueue at most {ENQUEUE_MANY:,} at once.",
            )
        for app, kind in others.items():
            if not self._is_here(app.place):
                raise InvalidJob(
                    f"Kind {kind!r} is of an app whose jobs are in {mask_url(app.place)}, not in "
                    f"{mask_url(self.place)}.",
                    hint="Enqueue it with its own app.",
                )
        return orders

    def _refuse_elsewhere(self, after: Iterable[HasId | int] | HasId | int) -> None:
        """Refuse to wait for a job of another store: its id is another job's here."""
        for one in after if isinstance(after, list) else [after]:
            if not isinstance(one, Handle) or one.home is self._home:
                continue
            if not self._is_here(place := one.home.place()):
                raise InvalidJob(
                    f"Job {one.id} is in {mask_url(place)}, not in {mask_url(self.place)}.",
                    hint="A job waits for jobs of the same store.",
                )

    def _is_here(self, place: str) -> bool:
        """Tell whether a URL names the store of this app."""
        from workhorse.store.opening import same_store  # noqa: PLC0415 - lazy

        return same_store(place, self.place)

    def _send_all(self, orders: Sequence[Order]) -> list[Handle[Any]]:
        """Store jobs together; in inline mode, run them."""
        if not orders:
            return []
        found = self.store.enqueue([order.job for order in orders])
        self._ring()
        handles = self._handles(found, orders)
        if self.inline:
            for one, order, handle in zip(found, orders, handles, strict=True):
                if order.job.kind in self._specs and self._run_inline(one):
                    handle.refresh()
        return handles

    def _handles(self, found: Sequence[Enqueued], orders: Sequence[Order]) -> list[Handle[Any]]:
        home = self._home
        return [
            Handle(home, one.id, one.state, spec=order.spec, existing=one.existing)
            for one, order in zip(found, orders, strict=True)
        ]

    def _handle(self, found: Enqueued, spec: KindSpec) -> Handle[Any]:
        return Handle(self._home, found.id, found.state, spec=spec, existing=found.existing)

    def _ring(self) -> None:
        """Wake the workers that sleep beside this store."""
        wake = self._wake
        if wake is None:
            with self._lock:
                if (wake := self._wake) is None:
                    from workhorse.engine.wake import Wake  # noqa: PLC0415 - lazy

                    wake = self._wake = Wake(self.store.run_dir)
        wake.ring()

    def _coalescers_here(self) -> Coalescers:
        """Return the coalescers of the running loop."""
        loop = asyncio.get_running_loop()
        found = self._coalescers.get(loop)
        if found is None:
            from workhorse.coalesce import Coalescers  # noqa: PLC0415 - lazy

            with self._lock:
                pools = self._threads_here().enqueue
                found = self._coalescers[loop] = Coalescers(pools, self._store_many)
        return found

    def _threads_here(self) -> Threads:
        """Return the app's threads. Raises `Unavailable` in a process forked since they began."""
        threads = self._threads
        if threads is None:
            with self._lock:
                if (threads := self._threads) is None:
                    threads = self._threads = Threads()
        threads.refuse_after_fork()
        return threads

    async def _look(self, look: Callable[[], Job]) -> Job:
        """Look at a job without blocking the loop."""
        return await self._threads_here().look(look)

    def _store_many(self, jobs: Any) -> list[Enqueued]:
        found = self.store.enqueue(jobs)
        self._ring()
        return found

    def _run_inline(self, found: Enqueued) -> bool:
        """Run a job that was just stored, unless it is to wait; tell whether it ran."""
        if found.existing or found.state is not State.AVAILABLE:
            return False
        from workhorse.inline import run_inline  # noqa: PLC0415 - lazy

        with self.lend() as store:
            run_inline(store, self._specs, found.id)
        return True

    def _requeued(self, job: Job) -> None:
        if self.inline and job.kind in self._specs:
            self._run_inline(Enqueued(job.id, job.state, existing=False))


def _url_of(url: str | PathLike[str] | None) -> str | None:
    if isinstance(url, PathLike):
        return sqlite_url(url)
    if not isinstance(url, str | None):
        raise ConfigurationError(
            f"A {type(url).__name__} does not name a store.",
            hint="Give its URL, or the path of a SQLite file.",
        )
    return url


def _with_args(job: NewJob, args: str) -> NewJob:
    """Return a job made from a template: what `dataclasses.replace` does, but faster."""
    return NewJob(
        job.kind,
        args,
        job.queue,
        job.priority,
        job.delay,
        job.run_at,
        job.timeout,
        job.max_attempts,
        job.backoff,
    )


def _one_session(orders: Sequence[Order]) -> Any:
    """Return the session that all of them name, if any."""
    session = orders[0].session if orders else None
    if any(order.session is not session for order in orders):
        raise InvalidJob("enqueue_many is one transaction: the jobs name different sessions.")
    return session


def _nearest(name: str, names: Iterable[str]) -> str:
    known = sorted(names)
    if near := nearest(name, known):
        return near.strip()
    if not known:
        return "It has no kinds at all: decorate a function with @app.job."
    return f"There are: {', '.join(known[:20])}{', …' if len(known) > 20 else ''}."  # noqa: PLR2004


__all__ = ["Bound", "Kind", "Prepared", "Workhorse"]
