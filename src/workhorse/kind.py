"""A kind: a handler's function as the rest of Workhorse sees it.

A kind is read off a function's signature once. At enqueue its arguments are bound, validated and
encoded; in the worker they are decoded again. A parameter of plain JSON type (text, numbers,
booleans, None, Any, and lists or dicts of them) needs no validation in the worker, and a kind
that has only such parameters never imports pydantic: a worker starts small and fast.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Literal, NamedTuple, get_args, get_origin

from pydantic_core import (
    PydanticSerializationError,
    SchemaSerializer,
    SchemaValidator,
    ValidationError,
    from_json,
)

from workhorse import codec
from workhorse.context import Context
from workhorse.domain.errors import ConfigurationError, InvalidJob
from workhorse.domain.job import check_name
from workhorse.domain.retry import Retry

Run = Literal["async", "thread", "process"]
RUNS: Final[tuple[Run, ...]] = ("async", "thread", "process")
DEFAULT_TIMEOUT: Final = 3600.0
"""How long an attempt may run when nothing else is said, in seconds."""

_BY_POSITION: Final = inspect.Parameter.POSITIONAL_ONLY
_BY_NAME: Final = inspect.Parameter.KEYWORD_ONLY
_MISSING: Final = inspect.Parameter.empty


class Parameter(NamedTuple):
    """One parameter of a handler, the context left out."""

    name: str
    default: Any
    positional: bool
    positional_only: bool

    @property
    def required(self) -> bool:
        """Whether it has no default."""
        return self.default is _MISSING


@dataclass(frozen=True)
class KindSpec:
    """A handler and how its jobs run. `timeout` is in seconds per attempt, None for no limit."""

    name: str
    func: Callable[..., Any]
    run: Run
    queue: str = "default"
    priority: int = 0
    retry: Retry = field(default_factory=Retry)
    timeout: float | None = DEFAULT_TIMEOUT
    takes_context: bool = False
    parameters: tuple[Parameter, ...] = ()
    is_async: bool = False

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
        """Return what to call the function with (after the context). `InvalidJob` if it cannot."""
        if text == "{}" and not self._codec.required:
            return (), {}
        values = self._codec.load(text)
        if not self._by_position:
            return (), values
        return self._split(values)

    def dump_result(self, value: Any) -> str | None:
        """Return what the handler returned as JSON text; None for None. See `codec.dump_result`."""
        return None if value is None else codec.dump_result(value)

    def load_result(self, text: str | None) -> Any:
        """Return a result as the type the function is annotated to return.

        A result that does not fit the annotation (code changes) is returned as plain JSON data.
        """
        if text is None:
            return None
        if self._result is not None:
            try:
                return self._result.validate_json(text)
            except ValidationError:
                pass
        return from_json(text)

    @cached_property
    def _codec(self) -> _Arguments:
        return _Arguments(self.name, self.parameters, _hints(self.func, self.name))

    @cached_property
    def _result(self) -> SchemaValidator | None:
        """The validator of results; None when the annotation says no more than JSON does."""
        try:
            hint = _hints(self.func, self.name).get("return", Any)
            if plain_schema(hint) is not None:
                return None
            return _adapter(hint)[0]
        except Exception:  # noqa: BLE001 - an odd annotation must not hide a result
            return None

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


class _Arguments:
    """Validation and encoding of one kind's arguments, built at the first use."""

    def __init__(
        self, kind: str, parameters: Sequence[Parameter], hints: Mapping[str, Any]
    ) -> None:
        self.kind = kind
        self.required = tuple(p.name for p in parameters if p.required)
        schemas = {p.name: plain_schema(hints.get(p.name, Any)) for p in parameters}
        self._plain = [name for name, schema in schemas.items() if schema is not None]
        self.is_plain = len(self._plain) == len(schemas)
        self._closed = all(is_closed(schema) for schema in schemas.values())
        if self.is_plain:
            self._validator = SchemaValidator(_object_schema(parameters, schemas))
        else:
            fields = {p.name: (hints.get(p.name, Any), p.required) for p in parameters}
            self._validator, self._serializer = _typed(kind, fields)

    def dump(self, values: dict[str, Any]) -> str:
        try:
            values = self._validator.validate_python(values)
        except ValidationError as error:
            raise self._wrong(error) from None
        except RecursionError:
            codec.check_value(values, "args")
            raise InvalidJob(f"{self.kind}: the arguments are nested too deep.") from None
        return self._encode(values)

    def dump_outside(self, values: dict[str, Any]) -> str:
        text = codec.dump_json(values, what="args", limit=codec.ARGS_LIMIT)
        try:
            values = self._validator.validate_json(text)
        except ValidationError as error:
            raise self._wrong(error) from None
        return self._encode(values)

    def load(self, text: str) -> dict[str, Any]:
        try:
            if self.is_plain:
                values: dict[str, Any] = from_json(text)
            else:
                values = self._validator.validate_json(text)
        except ValidationError as error:
            raise self._wrong(error) from None
        except ValueError as error:
            raise InvalidJob(f"{self.kind}: the stored arguments are not JSON: {error}") from None
        return values

    def _encode(self, values: dict[str, Any]) -> str:
        """Encode validated values; what comes out is known to decode again."""
        if self.is_plain:
            return codec.dump_json(values, what="args", limit=codec.ARGS_LIMIT, known=self._closed)
        try:
            raw = self._serializer.to_json(values, **_FAITHFULLY)
        except (PydanticSerializationError, UnicodeError, RecursionError) as error:
            codec.check_typed(values, "args")
            raise codec.not_json("args", error) from error
        if codec.is_suspicious(raw):
            codec.check_typed(values, "args")
        text = codec.sized(raw, what="args", limit=codec.ARGS_LIMIT)
        try:
            again = self._validator.validate_json(text)
        except ValidationError as error:
            raise self._wrong(error, "does not survive being encoded as JSON: ") from None
        if not _alike(again, values):
            self._compare(again, values)
        return text

    def _compare(self, again: dict[str, Any], values: dict[str, Any]) -> None:
        """Refuse, by name, an argument that JSON gives back as another value."""
        for name in self._plain:
            if name in values:
                codec.check_value(values[name], f"args.{name}")
        was, now = (self._serializer.to_python(v, **_FAITHFULLY) for v in (values, again))
        for name, value in was.items():
            if not _alike(value, now[name]):
                raise InvalidJob(
                    f"{self.kind}: args.{name} would come back from JSON as another value.",
                    hint="Pass plain data, or a type that encodes all it holds.",
                )

    def _wrong(self, error: ValidationError, why: str = "") -> InvalidJob:
        """Name every argument that is wrong, in one line each."""
        lines = []
        for problem in error.errors(include_url=False, include_context=False, include_input=False):
            place = _place(problem["loc"])
            lines.append(f"{place}: {why}{_told(problem['type'], problem['msg'])}")
        return InvalidJob(f"{self.kind}: " + "; ".join(codec.clean_text(x, 1024) for x in lines))


_BY_IDENTITY: Final[Any] = object.__eq__


def _alike(one: Any, other: Any) -> bool:
    """Whether two values are equal, as far as their types can tell; a tuple may be a list."""
    kind: Any = type(one)
    try:
        if one == other:
            return True
    except Exception:  # noqa: BLE001 - a value's own __eq__ may raise, or answer with an array
        return kind is type(other)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_alike, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_alike(one[key], other[key]) for key in one)
    return kind is type(other) and kind.__eq__ is _BY_IDENTITY


def _place(loc: Sequence[str | int]) -> str:
    path = "args"
    for step in loc:
        path += f"[{step}]" if isinstance(step, int) else f".{step}"
    return codec.shortened(path)


def _told(kind: str, message: str) -> str:
    if kind == "missing":
        return "missing"
    if kind == "extra_forbidden":
        return "unknown argument"
    return message[:1].lower() + message[1:]


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
    takes_context, parameters = _read_signature(func, label)
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
        takes_context=takes_context,
        parameters=parameters,
        is_async=is_async,
    )


def _check_callable(func: Callable[..., Any], label: str) -> bool:
    """Refuse what is not a plain function; tell whether it is async."""
    if inspect.isclass(func) or not callable(func):
        raise ConfigurationError(f"{label or func!r}: a handler must be a function.")
    if inspect.isasyncgenfunction(func) or inspect.isgeneratorfunction(func):
        raise ConfigurationError(
            f"{label}: a handler must return a value, not yield.",
            hint="Use ctx.progress() and ctx.log() to tell what happens on the way.",
        )
    return inspect.iscoroutinefunction(func)


def _read_signature(func: Callable[..., Any], label: str) -> tuple[bool, tuple[Parameter, ...]]:
    try:
        found = list(inspect.signature(func).parameters.values())
    except (TypeError, ValueError):
        raise ConfigurationError(f"{label}: its signature cannot be read.") from None
    takes_context = bool(found) and _is_context(found[0], func)
    rest = found[1:] if takes_context else found
    for p in rest:
        if p.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            raise ConfigurationError(
                f"{label}: `{p}` has no names and types to check arguments against.",
                hint="List the parameters; take a `list` or `dict` for a varying number.",
            )
        if _is_context(p, func, by_name=False):
            raise ConfigurationError(f"{label}: the Context must be the first parameter.")
    return takes_context, tuple(
        Parameter(p.name, p.default, p.kind is not _BY_NAME, p.kind is _BY_POSITION) for p in rest
    )


def _is_context(p: inspect.Parameter, func: Callable[..., Any], *, by_name: bool = True) -> bool:
    """Whether a parameter wants the context: annotated so, or named ``ctx`` and not annotated."""
    if p.annotation is _MISSING:
        return by_name and p.name == "ctx" and p.kind is not _BY_NAME
    hint = p.annotation
    if isinstance(hint, str):
        hint = _named(hint, getattr(inspect.unwrap(func), "__globals__", {}))
    if isinstance(hint, str):
        return hint in ("Context", "workhorse.Context")
    return isinstance(hint, type) and issubclass(hint, Context)


def _named(name: str, namespace: Mapping[str, Any]) -> Any:
    """Return what a dotted name stands for, or the name itself when that cannot be told."""
    first, *rest = name.strip("'\"").split(".")
    found = namespace.get(first)
    for step in rest:
        found = getattr(found, step, None)
    return name.strip("'\"") if found is None else found


def _hints(func: Callable[..., Any], label: str) -> dict[str, Any]:
    """Return the resolved annotations. `ConfigurationError` for a name that does not exist."""
    target = inspect.unwrap(func)
    local = dict(inspect.getclosurevars(target).nonlocals) if inspect.isfunction(target) else {}
    try:
        return typing.get_type_hints(
            func, localns=local | {"Context": Context}, include_extras=True
        )
    except NameError as error:
        raise ConfigurationError(
            f"{label}: an annotation cannot be resolved: {error}.",
            hint="Import the type at run time, not only under TYPE_CHECKING.",
        ) from None
    except Exception as error:
        raise ConfigurationError(f"{label}: its annotations cannot be read: {error}") from error


_SIMPLE: Final[Mapping[Any, dict[str, Any]]] = {
    Any: {"type": "any"},
    object: {"type": "any"},
    str: {"type": "str"},
    int: {"type": "int"},
    float: {"type": "float", "allow_inf_nan": False},
    bool: {"type": "bool"},
    type(None): {"type": "none"},
    None: {"type": "none"},
    list: {"type": "list"},
    dict: {"type": "dict"},
}


def plain_schema(hint: Any) -> dict[str, Any] | None:
    """Return pydantic-core's schema of a plain JSON type; None for any other type."""
    origin = get_origin(hint)
    if origin is None:
        return _SIMPLE.get(hint) if isinstance(hint, type) or hint in (Any, None) else None
    items = get_args(hint)
    if origin is list and len(items) == 1:
        inner = plain_schema(items[0])
        return None if inner is None else {"type": "list", "items_schema": inner}
    if origin is dict and items[:1] == (str,):
        inner = plain_schema(items[1])
        if inner is None:
            return None
        return {"type": "dict", "keys_schema": {"type": "str"}, "values_schema": inner}
    if origin in (typing.Union, types.UnionType):
        choices = [plain_schema(item) for item in items]
        return None if None in choices else {"type": "union", "choices": choices}
    return None


def is_closed(schema: Any) -> bool:
    """Whether a plain schema leaves nothing open: what it accepts is JSON all through."""
    if schema is None or schema["type"] == "any":
        return False
    match schema["type"]:
        case "list":
            return is_closed(schema.get("items_schema"))
        case "dict":
            return is_closed(schema.get("values_schema"))
        case "union":
            return all(is_closed(choice) for choice in schema["choices"])
    return True


def _object_schema(parameters: Sequence[Parameter], schemas: Mapping[str, Any]) -> Any:
    fields = {
        p.name: {"type": "typed-dict-field", "schema": schemas[p.name], "required": p.required}
        for p in parameters
    }
    return {"type": "typed-dict", "fields": fields, "extra_behavior": "forbid"}


_CONFIG: Final[Any] = {
    "ser_json_inf_nan": "constants",
    "ser_json_bytes": "base64",
    "val_json_bytes": "base64",
    "allow_inf_nan": False,
}
_FAITHFULLY: Final[Any] = {"by_alias": True, "round_trip": True, "warnings": "error"}


def _typed(
    kind: str, fields: Mapping[str, tuple[Any, bool]]
) -> tuple[SchemaValidator, SchemaSerializer]:
    """Build validator and serializer for parameters of any type pydantic knows."""
    from typing_extensions import TypedDict  # noqa: PLC0415 - loaded with pydantic, not before

    members = {
        name: typing.Required[hint] if required else typing.NotRequired[hint]
        for name, (hint, required) in fields.items()
    }
    shape = TypedDict("Arguments", members)  # type: ignore[misc]
    setattr(shape, "__pydantic_config__", {**_CONFIG, "extra": "forbid"})  # noqa: B010 - untyped
    try:
        return _adapter(shape)
    except Exception as error:
        raise ConfigurationError(
            f"{kind}: its parameters cannot be checked: {_first_line(error)}",
            hint="Use types that pydantic can validate and encode.",
        ) from error


def _adapter(hint: Any) -> tuple[SchemaValidator, SchemaSerializer]:
    """Return validator and serializer of a type: pydantic is imported here, at first need."""
    from pydantic import TypeAdapter  # noqa: PLC0415 - plain kinds must not pay for it

    schema = TypeAdapter(hint).core_schema
    return SchemaValidator(schema, _CONFIG), SchemaSerializer(schema, _CONFIG)


def _first_line(error: Exception) -> str:
    """Return what pydantic says, without its page to read on."""
    return codec.safe_text(error, 1024).partition("\n")[0]


__all__ = ["DEFAULT_TIMEOUT", "RUNS", "KindSpec", "Parameter", "Run", "make_spec", "plain_schema"]
