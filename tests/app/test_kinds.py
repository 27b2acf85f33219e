"""Registering functions: what may be a kind, what it still is, and what is said of the rest."""

from __future__ import annotations

import asyncio
import copy
import functools
import inspect
import multiprocessing
import pickle
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Annotated, Any, Optional

import pytest

from workhorse import ConfigurationError, Context, InvalidJob, Kind, Retry, UnknownKind, Workhorse


def test_a_kind_is_still_the_function(app: Workhorse) -> None:
    """A plain call runs the function here and now, as if undecorated; nothing is stored."""

    @app.job
    def add(a: int, b: int = 2) -> int:
        """Add two numbers."""
        return a + b

    assert add(1) == 3
    assert add(1, b=5) == 6
    assert (vars(add)["__name__"], add.__doc__) == ("add", "Add two numbers.")
    assert inspect.signature(add) == inspect.signature(add.spec.func)
    assert repr(add) == "<Kind add>"
    with pytest.raises(TypeError):
        add("one", 2, 3)  # type: ignore[call-overload]
    assert app.store.events() == []


def test_a_parameter_may_have_any_name(inline: Workhorse) -> None:
    """Also one that our own methods use."""

    @inline.job
    def name_all(self: int, args: int, kwargs: int) -> list[int]:
        return [self, args, kwargs]

    assert name_all(self=1, args=2, kwargs=3) == [1, 2, 3]
    assert name_all.enqueue(self=1, args=2, kwargs=3).result() == [1, 2, 3]
    (handle,) = inline.enqueue_many([name_all.bind(self=1, args=2, kwargs=3)])
    assert handle.result() == [1, 2, 3]


def test_a_plain_call_needs_no_context(app: Workhorse) -> None:
    """With or without a context: without one, what is said to it goes nowhere."""

    @app.job(queue="builds")
    def build(ctx: Context, path: str) -> tuple[int, int, str, str, bool]:
        ctx.log("building", path=path)
        ctx.progress(50)
        return ctx.job_id, ctx.attempt, ctx.kind, ctx.queue, ctx.cancelled

    said: list[object] = []
    mine = Context(
        job_id=7,
        attempt=3,
        kind="mine",
        queue="q",
        emit=lambda *line: said.append(line),
        stopping=lambda: True,
    )
    assert build("a.c") == (0, 0, "build", "builds", False)
    assert said == []
    assert build(mine, "a.c") == (7, 3, "mine", "q", True)
    assert len(said) == 2
    assert build(ctx=mine, path="a.c") == (7, 3, "mine", "q", True)  # type: ignore[call-overload]
    assert build(path="a.c") == (0, 0, "build", "builds", False)


def test_a_context_may_be_none_or_annotated(inline: Workhorse) -> None:
    """A function that is also called by others may say so, in any way of writing it."""

    def direct(ctx: Any, x: int) -> tuple[bool, int]:
        return isinstance(ctx, Context), x

    def later(ctx: Any = None, x: int = 5) -> tuple[bool, int]:
        return isinstance(ctx, Context), x

    ways: list[Any] = [
        Context | None,
        Optional["Context"],
        Annotated[Context, "mine"],
        Annotated[Context | None, "mine"],
        "Context | None",
        "Context|None",
        "Optional[Context]",
        "Annotated[Context, 'mine']",
    ]
    for number, way in enumerate(ways):
        for function in (direct, later):
            function.__annotations__["ctx"] = way
            kind: Any = inline.job(name=f"{function.__name__}-{number}")(function)
            assert kind.enqueue(x=7).result() == (True, 7), way
            assert kind(x=7) == (True, 7)


def test_a_kind_of_another_app_is_its_function(inline: Workhorse, app: Workhorse) -> None:
    """Two apps may have one handler: it runs for each as what it is."""

    async def both(ctx: Context, x: int) -> int:
        await asyncio.sleep(0)
        return x

    theirs = app.job(name="theirs", queue="far")(both)
    ours: Any = inline.job(theirs)
    assert (ours.name, ours.spec.run, ours.spec.queue) == ("both", "async", "default")
    assert ours.enqueue(7).result() == 7
    assert theirs.enqueue(7).state == "available"


def test_a_plain_call_of_an_async_kind_is_awaited(app: Workhorse) -> None:
    """An `async def` function stays one."""

    @app.job
    async def fetch(ctx: Context, url: str) -> str:
        await asyncio.sleep(0)
        return f"{ctx.kind} {url}"

    assert asyncio.run(fetch("a")) == "fetch a"


def test_a_kind_takes_its_name_and_executor_from_the_function(app: Workhorse) -> None:
    """`def` runs in a thread and `async def` on the loop, unless a process is asked for."""

    @app.job
    def in_thread() -> None:
        """Do nothing."""

    @app.job(run="process", name="images:resize.v2")
    def in_process() -> None:
        """Do nothing."""

    @app.job
    async def on_loop() -> None:
        """Do nothing."""

    @app.job(run="process")
    async def loop_in_process() -> None:
        """Do nothing."""

    assert {name: kind.spec.run for name, kind in app.kinds.items()} == {
        "in_thread": "thread",
        "images:resize.v2": "process",
        "on_loop": "async",
        "loop_in_process": "process",
    }
    assert app.kind("in_thread").name == "in_thread"


def test_what_a_kind_says_of_itself(app: Workhorse) -> None:
    """Queue, priority, timeout and retry policy are the kind's, or the defaults."""

    @app.job(queue="deploys", priority="high", timeout=5, retry=Retry(max_attempts=2, base=1))
    def deploy() -> None:
        """Do nothing."""

    @app.job(timeout=None, retry=1)
    def quiet() -> None:
        """Do nothing."""

    job = deploy.bind().order.job
    assert (job.queue, job.priority, job.timeout) == ("deploys", 10, 5.0)
    assert job.backoff is not None
    assert (job.max_attempts, job.backoff.base) == (2, 1)
    job = quiet.bind().order.job
    assert (job.queue, job.priority, job.timeout) == ("default", 0, None)
    assert job.max_attempts == 1


def test_the_functions_own_attributes_cannot_hide_a_kinds(app: Workhorse) -> None:
    """A decorator below may leave anything on the function; the kind works as ever."""

    def marked() -> int:
        return 5

    marked.spec = marked.options = marked._app = "mine"  # type: ignore[attr-defined]
    kind = app.job(marked)
    assert kind.enqueue().state == "available"
    assert kind() == 5


def test_a_wrapped_function_keeps_its_signature(app: Workhorse) -> None:
    """A decorator made with `functools.wraps` hides neither parameters nor the context."""

    def logged(func: Callable[..., int]) -> Callable[..., int]:
        @functools.wraps(func)
        def inner(*args: Any, **kwargs: Any) -> int:
            return func(*args, **kwargs) + 1

        return inner

    @app.job
    @logged
    def work(ctx: Context, a: int) -> int:
        return a

    assert work(5) == 6
    with pytest.raises(InvalidJob, match=r"args\.a"):
        work.enqueue("x")


module_app = Workhorse("sqlite:///never-opened.db")


@module_app.job(name="its-name")
def double(number: int) -> int:
    return 2 * number


def test_a_kind_goes_to_another_process_as_its_function_would(app: Workhorse) -> None:
    """By its name; what cannot be imported there is refused in pickle's words for a function."""
    assert pickle.loads(pickle.dumps(double)) is double
    assert copy.copy(double) is copy.deepcopy(double) is double
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        assert list(pool.map(double, [1, 2])) == [2, 4]

    @app.job
    def local() -> None:
        """Do nothing."""

    assert copy.deepcopy(local) is local
    with pytest.raises((AttributeError, pickle.PicklingError), match="local object"):
        pickle.dumps(local)


def test_two_kinds_cannot_share_a_name(app: Workhorse) -> None:
    """The error names both places, and the first one stays."""

    @app.job
    def work() -> int:
        return 1

    with pytest.raises(ConfigurationError, match="Two kinds are called 'work'") as refused:

        @app.job(name="work")
        def other() -> int:
            return 2

    here = work.spec.func.__code__
    assert f"{here.co_filename}:{here.co_firstlineno}" in str(refused.value)
    assert str(refused.value).count(__file__) == 2
    assert app.kind("work")() == 1


def test_an_unknown_kind_is_told_the_nearest_name(app: Workhorse) -> None:
    """A slip of the pen is answered with the name that was meant."""
    with pytest.raises(UnknownKind, match="no kinds at all"):
        app.kind("resize")

    @app.job
    def resize() -> None:
        """Do nothing."""

    with pytest.raises(UnknownKind, match=r"no kind 'resise'.+Did you mean 'resize'\?"):
        app.enqueue_by_name("resise", {})
    for far in ("xyz", "raise"):
        with pytest.raises(UnknownKind, match="There are: resize"):
            app.kind(far)


def generator() -> Iterator[int]:
    yield 1


async def async_generator() -> AsyncIterator[int]:
    yield 1


def star(*args: int) -> None: ...
def stars(**kwargs: int) -> None: ...
def late_context(a: int, ctx: Context) -> None: ...
def late_perhaps(a: int, ctx: Context | None = None) -> None: ...
def named_context(*, ctx: Context) -> None: ...
def sync() -> None: ...


class CallableObject:
    def __call__(self) -> None: ...


class Shop:
    def sell(self, ware: str) -> None: ...
    async def buy(cls, ware: str) -> None: ...  # noqa: N805 - as a classmethod begins


async def on_loop() -> None: ...


@pytest.mark.parametrize(
    ("func", "options", "told"),
    [
        (generator, {}, "must return a value, not yield"),
        (async_generator, {}, "must return a value, not yield"),
        (star, {}, r"`\*args: .?int.?` has no names"),
        (stars, {}, r"`\*\*kwargs: .?int.?` has no names"),
        (late_context, {}, "the Context must be the first parameter"),
        (late_perhaps, {}, "the Context must be the first parameter"),
        (named_context, {}, "the Context is passed by position, which `.+` does not take"),
        (sync, {"run": "async"}, "needs an `async def` function"),
        (on_loop, {"run": "thread"}, 'cannot have run="thread"'),
        (sync, {"run": "fiber"}, "run='fiber' is not one of async, thread, process"),
        (int, {}, "must be a function"),
        (5, {}, "must be a function"),
        ("sync", {}, "must be a function"),
        (
            functools.partial(sync),
            {"name": "later"},
            "must be a function.+Write a function that calls it",
        ),
        (CallableObject(), {"name": "called"}, "must be a function"),
        (Shop.sell, {}, r"sell: .+ no `self` .+\(.+test_kinds.py:\d+\).+outside of the"),
        (Shop.buy, {}, r"buy: a worker has no `cls` to call"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value).partition(" at 0x")[0]),
)
def test_what_cannot_be_a_handler_is_refused_at_once(
    app: Workhorse, func: Any, options: dict[str, Any], told: str
) -> None:
    """When the module is imported, not when the first job runs."""
    with pytest.raises(ConfigurationError, match=told):
        app.job(**options)(func)
    assert not app.kinds


def test_a_method_of_an_object_is_a_function(app: Workhorse) -> None:
    """It has its `self` with it."""
    assert app.job(Shop().sell).spec.parameters[0].name == "ware"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"name": "no spaces"}, "cannot name a kind"),
        ({"queue": "no/slash"}, "cannot name a queue"),
        ({"priority": "urgent"}, "not a priority"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"timeout": float("inf")}, "timeout"),
        ({"timeout": "5"}, "timeout"),
        ({"timeout": True}, "timeout"),
        ({"retry": 0}, "max_attempts"),
        ({"retry": -1}, "max_attempts"),
        ({"retry": "3"}, "retry must be a Retry or a number, not a str"),
        ({"retry": Retry}, "retry must be a Retry or a number, not a type"),
    ],
    ids=str,
)
def test_an_option_that_makes_no_sense_is_refused_at_once(
    app: Workhorse, options: dict[str, Any], told: str
) -> None:
    """The same for options, in the words of the options."""
    with pytest.raises(InvalidJob, match=told):
        app.job(**options)(sync)
    assert not app.kinds


def test_an_annotation_that_does_not_exist_is_named(app: Workhorse) -> None:
    """A type imported only for the type checker cannot check arguments: the error says so."""

    def work(a: Missing) -> None:  # type: ignore[name-defined]  # noqa: F821
        """Never called."""

    kind: Any = app.job(work)
    with pytest.raises(ConfigurationError, match=r"work: .+'Missing'.+TYPE_CHECKING"):
        kind.enqueue(1)


def test_an_annotation_that_cannot_be_checked_is_named(app: Workhorse) -> None:
    """A type pydantic does not know is refused in one line, with the kind's name."""

    def work(a: Any) -> None:
        """Never called."""

    work.__annotations__ = {"a": Workhorse}
    with pytest.raises(ConfigurationError, match="work: its parameters cannot be checked") as told:
        app.job(work).enqueue(1)
    assert "\n" not in str(told.value)


def test_types_of_an_enclosing_function_are_found(inline: Workhorse) -> None:
    """A handler defined inside a function may use that function's types."""

    @dataclass
    class Local:
        x: int

    seen: list[object] = []

    @inline.job
    def take(point: Local) -> None:
        assert isinstance(point, Local)
        seen.append(point)

    take.enqueue(Local(5))
    assert seen == [Local(5)]


def test_an_app_says_what_it_is(app: Workhorse) -> None:
    """Neither repr nor a list of kinds opens the store; the mapping cannot be written."""
    assert repr(app) == "<Workhorse 0 kinds>"
    app.job(sync)
    assert list(app.kinds) == ["sync"]
    with pytest.raises(TypeError):
        app.kinds["x"] = app.kinds["sync"]  # type: ignore[index]
    assert isinstance(app.kind("sync"), Kind)
    assert app._store is None
