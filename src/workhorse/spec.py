"""What is known of a kind: its function as the engine sees it, read off the signature once."""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Literal

from workhorse.arguments import MISSING, Arguments, Parameter
from workhorse.context import Context
from workhorse.domain.errors import ConfigurationError, InvalidJob
from workhorse.domain.job import check_name
from workhorse.domain.retry import Retry
from workhorse.results import Results

Run = Literal["async", "thread", "process"]
RUNS: Final[tuple[Run, ...]] = ("async", "thread", "process")

_BY_POSITION: Final = inspect.Parameter.POSITIONAL_ONLY
_EITHER_WAY: Final = inspect.Parameter.POSITIONAL_OR_KEYWORD
_BY_NAME: Final = inspect.Parameter.KEYWORD_ONLY
_COMPOUND: Final = re.compile(r"[|\[]")
"""In an annotation that is more than a name."""


@dataclass(frozen=True)
class KindSpec:
    """A handler and how its jobs run."""

    name: str
    func: Callable[..., Any]
    run: Run
    queue: str = "default"
    retry_in: Callable[[str], Retry] = field(default=lambda _: Retry(), compare=False)
    """The policy of its jobs in a queue, which need not be its own."""
    context: str | None = None
    """The name of the parameter that is given the context."""
    parameters: tuple[Parameter, ...] = ()
    is_async: bool = False

    @property
    def where(self) -> str:
        """The file and line its function is at."""
        return _where(self.func)

    def check_parameters(self) -> None:
        """Raise `ConfigurationError` when its arguments could never be checked, as enqueue does."""
        _ = self._codec

    def dump_args(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
        """Return the arguments of a typed call as JSON text, an object keyed by parameter name.

        Raises `InvalidJob` that names every wrong, missing and unknown argument at once, and
        `TooLarge`. Defaults that were not given are left out: the worker's code supplies them.
        """
        if not args and not kwargs and not self._codec.required:
            return "{}"
        return self._codec.dump(self._bind(args, kwargs))

    def check_args(self, mapping: Mapping[str, Any]) -> str:
        """Return arguments that came as a JSON object as `dump_args` would; same errors."""
        if not isinstance(mapping, Mapping):
            raise InvalidJob(f"{self.name}: the arguments must be a JSON object, keyed by name.")
        return self._codec.dump_outside(dict(mapping))

    def load_args(self, text: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return what to call the function with (after the context). `InvalidJob` if it cannot.

        `UnknownArgument` is one that other code may know. Of plain types only, no argument is
        checked: the call itself raises `TypeError`.
        """
        if text == "{}" and not self._codec.required:
            return (), {}
        values = self._codec.load(text)
        if not self._by_position:
            return (), values
        return self._split(values)

    def dump_result(self, value: Any) -> str | None:
        """Return what the handler returned as JSON text; None for None. See `codec.dump_result`."""
        return None if value is None else self._results.dump(value)

    def load_result(self, text: str | None) -> Any:
        """Return a result as the type the function is annotated to return.

        A result that does not fit the annotation (code changes) is returned as plain JSON data.
        """
        return None if text is None else self._results.load(text)

    @cached_property
    def _codec(self) -> Arguments:
        return Arguments(self.name, self.parameters, _hints(self.func, self.name))

    @cached_property
    def _results(self) -> Results:
        try:
            return Results(_hints(self.func, self.name).get("return", Any))
        except ConfigurationError:  # its parameters may be told all the same
            return Results(Any)

    @cached_property
    def _by_position(self) -> tuple[Parameter, ...]:
        return tuple(p for p in self.parameters if p.positional_only)

    @cached_property
    def _positional(self) -> tuple[str, ...]:
        return tuple(p.name for p in self.parameters if p.positional)

    def _bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Give each argument its name."""
        if not args:
            return dict(kwargs)
        names = self._positional
        if len(args) > len(names):
            raise InvalidJob(
                f"{self.name} takes {len(names)} arguments by position, {len(args)} were given."
            )
        values = dict(zip(names, args, strict=False))
        if twice := values.keys() & kwargs.keys():
            raise InvalidJob(f"{self.name}: {', '.join(sorted(twice))} was given twice.")
        values.update(kwargs)
        return values

    def _split(self, values: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Separate the arguments that can only be passed by position; a gap takes its default."""
        given = [n for n, p in enumerate(self._by_position, 1) if p.name in values]
        before = self._by_position[: max(given, default=0)]
        return tuple(values.pop(p.name, p.default) for p in before), values


def make_spec(
    func: Callable[..., Any],
    *,
    name: str | None = None,
    run: Run | None = None,
    queue: str = "default",
) -> KindSpec:
    """Read a kind off a function. Raises `ConfigurationError` for one that cannot be a handler."""
    label = name or str(getattr(func, "__name__", ""))
    is_async = _check_callable(func, label)
    context, parameters = _read_signature(func, label)
    run = run or ("async" if is_async else "thread")
    if run not in RUNS:
        raise ConfigurationError(f"{label}: run={run!r} is not one of {', '.join(RUNS)}.")
    if run == "async" and not is_async:
        raise ConfigurationError(
            f'{label}: run="async" needs an `async def` function.',
            hint='Use run="thread" or run="process" for a `def` function.',
        )
    if run == "thread" and is_async:
        raise ConfigurationError(
            f'{label}: an `async def` function cannot have run="thread".',
            hint='Use run="async" or run="process".',
        )
    return KindSpec(
        name=check_name("kind", label),
        func=func,
        run=run,
        queue=check_name("queue", queue),
        context=context,
        parameters=parameters,
        is_async=is_async,
    )


def _check_callable(func: Callable[..., Any], label: str) -> bool:
    """Refuse what is not a plain function; tell whether it is async."""
    if not (inspect.isroutine(func) or hasattr(func, "__wrapped__")):
        raise ConfigurationError(
            f"{label or func!r}: a handler must be a function.",
            hint="Write a function that calls it.",
        )
    if inspect.isasyncgenfunction(func) or inspect.isgeneratorfunction(func):
        raise ConfigurationError(
            f"{label}: a handler must return a value, not yield.",
            hint="Use ctx.progress() and ctx.log() to tell what happens on the way.",
        )
    return inspect.iscoroutinefunction(func)


def _read_signature(
    func: Callable[..., Any], label: str
) -> tuple[str | None, tuple[Parameter, ...]]:
    """Return the name of what takes the context, and the parameters without it."""
    try:
        found = list(inspect.signature(func).parameters.values())
    except (TypeError, ValueError):
        raise ConfigurationError(f"{label}: its signature cannot be read.") from None
    if found and found[0].name in {"self", "cls"} and found[0].annotation is MISSING:
        raise ConfigurationError(
            f"{label}: a worker has no `{found[0].name}` to call it with ({_where(func)}).",
            hint="Decorate a function outside of the class, and call the method in it.",
        )
    first = found[0] if found and _is_context(found[0], func) else None
    if first is not None and first.kind not in (_BY_POSITION, _EITHER_WAY):
        raise ConfigurationError(
            f"{label}: the Context is passed by position, which `{first}` does not take."
        )
    rest = found if first is None else found[1:]
    for p in rest:
        if p.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            raise ConfigurationError(
                f"{label}: `{p}` has no names and types to check arguments against.",
                hint="List the parameters; take a `list` or `dict` for a varying number.",
            )
        if _is_context(p, func, by_name=False):
            raise ConfigurationError(f"{label}: the Context must be the first parameter.")
    return None if first is None else first.name, tuple(
        Parameter(p.name, p.default, p.kind is not _BY_NAME, p.kind is _BY_POSITION) for p in rest
    )


def _where(func: Callable[..., Any]) -> str:
    code = getattr(inspect.unwrap(func), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else repr(func)


def _is_context(p: inspect.Parameter, func: Callable[..., Any], *, by_name: bool = True) -> bool:
    """Whether a parameter wants the context: annotated so, or named ``ctx`` and not annotated."""
    if p.annotation is MISSING:
        return by_name and p.name == "ctx" and p.kind is not _BY_NAME
    hint = p.annotation
    return _names_context(_evaluated(hint, func) if isinstance(hint, str) else hint)


def _names_context(hint: Any) -> bool:
    """Whether an annotation is of the context: alone, with what may be instead, or with notes."""
    if isinstance(hint, typing.ForwardRef):
        hint = hint.__forward_arg__
    if isinstance(hint, str):
        return hint in ("Context", "workhorse.Context")
    origin = typing.get_origin(hint)
    if origin is typing.Annotated:
        return _names_context(typing.get_args(hint)[0])
    if origin in (typing.Union, types.UnionType):
        return any(map(_names_context, typing.get_args(hint)))
    return isinstance(hint, type) and issubclass(hint, Context)


def _evaluated(text: str, func: Callable[..., Any]) -> Any:
    """Return what an annotation stands for, or its text when that cannot be told."""
    if not _COMPOUND.search(text):
        return _named(text, getattr(inspect.unwrap(func), "__globals__", {}))

    def one() -> None:
        """Have this annotation alone: those beside it may not be known yet."""

    one.__annotations__ = {"it": text}
    try:
        return _annotations(one, like=func)["it"]
    except Exception:  # noqa: BLE001 - whatever is wrong with it is told when it is needed
        return text


def _named(name: str, namespace: Mapping[str, Any]) -> Any:
    """Return what a dotted name stands for, or the name itself when that cannot be told."""
    first, *rest = name.strip("'\"").split(".")
    found = namespace.get(first)
    for step in rest:
        found = getattr(found, step, None)
    return name.strip("'\"") if found is None else found


def _hints(func: Callable[..., Any], label: str) -> dict[str, Any]:
    """Return the resolved annotations. `ConfigurationError` for a name that does not exist."""
    try:
        return _annotations(func, like=func)
    except NameError as error:
        raise ConfigurationError(
            f"{label}: an annotation cannot be resolved: {error}.",
            hint="Import the type at run time, not only under TYPE_CHECKING.",
        ) from None
    except Exception as error:
        raise ConfigurationError(f"{label}: its annotations cannot be read: {error}") from error


def _annotations(func: Callable[..., Any], *, like: Callable[..., Any]) -> dict[str, Any]:
    """Return a function's annotations, resolved as those of another are."""
    target = inspect.unwrap(like)
    local = dict(inspect.getclosurevars(target).nonlocals) if inspect.isfunction(target) else {}
    return typing.get_type_hints(
        func,
        globalns=None if func is like else getattr(target, "__globals__", {}),
        localns=local | {"Context": Context},
        include_extras=True,
    )
