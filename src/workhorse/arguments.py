"""The arguments of one kind: validated and encoded at enqueue, decoded again in the worker.

A parameter of plain JSON type (text, numbers, booleans, None, Any, and lists or dicts of them)
needs no validation in the worker, and a kind that has only such parameters never imports pydantic.
"""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, get_args, get_origin

from pydantic_core import (
    ErrorDetails,
    PydanticSerializationError,
    SchemaSerializer,
    SchemaValidator,
    ValidationError,
    from_json,
)

from workhorse import codec
from workhorse.domain.errors import ConfigurationError, InvalidJob
from workhorse.text import clean_text, safe_text

MISSING: Final = inspect.Parameter.empty
_UNKNOWN: Final = "extra_forbidden"


class Parameter(NamedTuple):
    """One parameter of a handler, the context left out."""

    name: str
    default: Any
    positional: bool
    positional_only: bool

    @property
    def required(self) -> bool:
        """Whether it has no default."""
        return self.default is MISSING


class UnknownArgument(InvalidJob, TypeError):
    """A stored argument that the handler does not take here; in newer code it may."""


class Arguments:
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
            fields = {p.name: hints.get(p.name, Any) for p in parameters}
            self._validator, self._serializer = _typed(kind, fields, self.required)

    def dump(self, values: dict[str, Any]) -> str:
        try:
            values = self._validator.validate_python(values)
        except ValidationError as error:
            raise self._wrong(error) from None
        except RecursionError:
            check = codec.check_value if self.is_plain else codec.check_typed
            check(values, "args")
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
            raise self._unfit(error) from None
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
            if not (_alike(value, now[name]) and _of_one_kind(values[name], again[name])):
                raise InvalidJob(
                    f"{self.kind}: args.{name} would come back from JSON as another value.",
                    hint="Pass plain data, or types whose JSON holds all and tells them apart.",
                )

    def _unfit(self, error: ValidationError) -> InvalidJob:
        """Say what is wrong with stored arguments, and whether other code may know them."""
        wrong = self._wrong(error)
        if all(problem["type"] != _UNKNOWN for problem in _problems(error)):
            return wrong
        return UnknownArgument(
            f"{wrong}. Newer code may have enqueued it: a worker that runs that code can take it."
        )

    def _wrong(self, error: ValidationError, why: str = "") -> InvalidJob:
        """Name every argument that is wrong, in one line each."""
        lines = []
        for problem in _problems(error):
            place = _place(problem["loc"])
            lines.append(f"{place}: {why}{_told(problem['type'], problem['msg'])}")
        return InvalidJob(f"{self.kind}: " + "; ".join(clean_text(x, 1024) for x in lines))


def _problems(error: ValidationError) -> list[ErrorDetails]:
    """Return what is wrong, without the values: they may be secrets."""
    return error.errors(include_url=False, include_context=False, include_input=False)


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


def _of_one_kind(one: Any, other: Any) -> bool:
    """Whether two values that are the same in JSON are of the same types, all through."""
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return all(map(_of_one_kind, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return all(map(_of_one_kind, one.values(), other.values()))
    if type(one) is not type(other):
        return _alike(one, other)
    parts, others = _parts(one), _parts(other)
    return parts.keys() == others.keys() and all(
        _of_one_kind(part, others[name]) for name, part in parts.items()
    )


def _parts(value: Any) -> Mapping[str, Any]:
    """Return the fields of a dataclass or a model, and nothing of all else."""
    if dataclasses.is_dataclass(value):
        fields = [field.name for field in dataclasses.fields(value)]
    else:
        fields = list(getattr(type(value), "__pydantic_fields__", ()))
    return {name: getattr(value, name) for name in fields if hasattr(value, name)}


def _place(loc: Sequence[str | int]) -> str:
    path = "args"
    for step in loc:
        path += f"[{step}]" if isinstance(step, int) else f".{step}"
    return codec.shortened(path)


def _told(kind: str, message: str) -> str:
    if kind == "missing":
        return "missing"
    if kind == _UNKNOWN:
        return "unknown argument"
    return message[:1].lower() + message[1:]


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
    kind: str, fields: Mapping[str, Any], required: Iterable[str]
) -> tuple[SchemaValidator, SchemaSerializer]:
    """Build validator and serializer for parameters of any type pydantic knows.

    No type is put into brackets of `typing`: it keeps what was in them, and gives it back for an
    equal one. To it `A | B` equals `B | A`, of which pydantic may take another member.
    """
    from typing_extensions import TypedDict  # noqa: PLC0415 - loaded with pydantic, not before

    shape = TypedDict("Arguments", fields)  # type: ignore[misc]
    setattr(shape, "__required_keys__", frozenset(required))  # noqa: B010 - untyped
    setattr(shape, "__pydantic_config__", {**_CONFIG, "extra": "forbid"})  # noqa: B010 - untyped
    try:
        return adapter(shape)
    except Exception as error:
        raise ConfigurationError(
            f"{kind}: its parameters cannot be checked: {_first_line(error)}",
            hint="Use types that pydantic can validate and encode.",
        ) from error


def adapter(hint: Any) -> tuple[SchemaValidator, SchemaSerializer]:
    """Return validator and serializer of a type: pydantic is imported here, at first need."""
    from pydantic import TypeAdapter  # noqa: PLC0415 - plain kinds must not pay for it

    schema = TypeAdapter(hint).core_schema
    return SchemaValidator(schema, _CONFIG), SchemaSerializer(schema, _CONFIG)


def _first_line(error: Exception) -> str:
    """Return what pydantic says, without its page to read on."""
    return safe_text(error, 1024).partition("\n")[0]
