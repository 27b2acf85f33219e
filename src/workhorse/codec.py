"""Strict JSON at the edge: what a payload and a result may be before they are stored.

Arguments that JSON cannot hold faithfully are refused, with the place and the reason; the text in
a result is cleaned instead, so that nothing a handler returns can wedge its job.

Encoding and decoding are pydantic-core's; a plain value costs about a microsecond. The text is then
scanned for signs of trouble in C, and only a suspicious value is walked in Python.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from itertools import accumulate
from typing import Any, Final

from pydantic_core import from_json, to_json, to_jsonable_python

from workhorse.domain.errors import InvalidJob, TooLarge
from workhorse.text import BAD_TEXT, clean_text, safe_text, type_name

ARGS_LIMIT: Final = 1024 * 1024
"""Longest payload of a job, in bytes of JSON."""
RESULT_LIMIT: Final = 1024 * 1024
"""Longest result of a job, in bytes of JSON."""
MAX_DEPTH: Final = 64
"""Deepest nesting of lists and objects."""
MAX_DIGITS: Final = 1000
"""Longest integer, in decimal digits."""

_MANY_DIGITS: Final = re.compile(rb"(?<![0-9])[0-9]{%d}" % (MAX_DIGITS + 1))
_STRINGS: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"')
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_STEP: Final = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_TOO_BIG: Final = 10**MAX_DIGITS
_PLAIN: Final = frozenset({str, int, float, bool, type(None)})


def dump_json(value: Any, *, what: str, limit: int, known: bool = False) -> str:
    """Return plain JSON data (`what`, in words) as JSON text of at most `limit` bytes.

    Tuples become lists. Raises `InvalidJob` naming the place of what JSON cannot hold: NaN and
    infinities, NUL and lone surrogates, keys that are not text, integers over 1,000 digits, depth
    over 64, cycles, and values of other types; `TooLarge` with both sizes when the text is over
    `limit`. With `known`, the caller has seen to it that there are no other types.
    """
    try:
        raw = to_json(value, inf_nan_mode="constants")
    except (ValueError, RecursionError, TypeError) as error:
        check_value(value, what)
        raise not_json(what, error) from error
    if is_suspicious(raw) or not (known or is_faithful(value, raw)):
        check_value(value, what)
    return sized(raw, what=what, limit=limit)


def sized(raw: bytes, *, what: str, limit: int) -> str:
    """Return JSON as text; raise `TooLarge`, with both sizes, when it is over `limit` bytes."""
    if len(raw) > limit:
        raise TooLarge(
            f"{what} is {len(raw):,} bytes as JSON; the limit is {limit:,}.",
            hint="Store the bytes elsewhere and pass a reference to them.",
        )
    return raw.decode()


def is_faithful(value: Any, raw: bytes) -> bool:
    """Whether decoding gives the value back as it was."""
    if type(value) in _PLAIN:
        return True
    try:
        return bool(from_json(raw) == value)
    except Exception:  # noqa: BLE001 - a value's own __eq__ may raise anything
        return False


def is_suspicious(raw: bytes) -> bool:
    """Whether JSON text may hold what the store must not: a scan in C, sure when it says no."""
    return (
        b"\\u0000" in raw
        or b"NaN" in raw
        or b"Infinity" in raw
        or (len(raw) > MAX_DIGITS and _MANY_DIGITS.search(raw) is not None)
        or (len(raw) > 2 * MAX_DEPTH and depth(raw) > MAX_DEPTH)
    )


def depth(raw: bytes) -> int:
    """Return how deep the lists and objects of JSON text are nested."""
    if raw.count(b"[") + raw.count(b"{") <= MAX_DEPTH:
        return 0
    brackets = _STRINGS.sub(b"", raw).translate(None, _NOT_BRACKETS)
    return max(accumulate(map(_STEP.__getitem__, brackets)), default=0)


def not_json(what: str, error: Exception) -> InvalidJob:
    """Return the error for something that could not be encoded, and why."""
    reason = safe_text(error).removeprefix("Error serializing to JSON: ")
    return InvalidJob(f"{what} cannot be JSON: {reason}")


def check_typed(values: Mapping[str, Any], what: str) -> None:
    """Raise `InvalidJob`, naming the place, for typed data that holds what the store must not."""
    for name, value in values.items():
        try:
            plain = to_jsonable_python(value, bytes_mode="base64")
        except Exception as error:
            raise not_json(f"{what}.{name}", error) from error
        check_value(plain, f"{what}.{name}")


def check_value(value: Any, path: str, *, level: int = 0) -> None:
    """Walk plain data and raise `InvalidJob` at the first thing JSON cannot hold, with its path."""
    if level > MAX_DEPTH:
        raise _refused(path, f"is nested deeper than {MAX_DEPTH} levels, or holds itself")
    if isinstance(value, str):
        _check_text(value, path)
    elif isinstance(value, int):
        if not -_TOO_BIG < value < _TOO_BIG:
            raise _refused(path, f"is an integer of over {MAX_DIGITS:,} digits")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise _refused(path, f"is {value}, which is not JSON")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise _refused(path, f"has a key that is not text: {safe_text(key, 80)}")
            _check_text(key, f"a key of {path}")
            check_value(item, f"{path}.{key}", level=level + 1)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            check_value(item, f"{path}[{index}]", level=level + 1)
    elif value is not None:
        raise _refused(
            path,
            f"is of type {type_name(type(value))}, which is not plain JSON",
            hint="Annotate the handler's parameter with its type, so that it can be decoded again.",
        )


def _check_text(text: str, path: str) -> None:
    if bad := BAD_TEXT.search(text):
        name = "a NUL character" if bad[0] == "\0" else "a lone surrogate"
        raise _refused(path, f"has {name} at position {bad.start()}")


def _refused(path: str, reason: str, *, hint: str | None = None) -> InvalidJob:
    return InvalidJob(f"{shortened(path)} {reason}.", hint=hint)


def shortened(path: str) -> str:
    """Return a path that fits a line of an error message."""
    return path if len(path) <= 80 else f"{path[:60]}…{path[-16:]}"  # noqa: PLR2004


def load_json(text: str | bytes, *, what: str = "the text", limit: int = ARGS_LIMIT) -> Any:
    """Return the value of JSON text from outside, as strict as `dump_json`.

    Raises `InvalidJob` for text that is not JSON or would not be accepted again, and for an
    object that names a key twice; `TooLarge` over `limit` bytes. Never `RecursionError`.
    """
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else bytes(text)
    if len(raw) > limit:
        raise TooLarge(f"{what} is {len(raw):,} bytes; the limit is {limit:,}.")
    if depth(raw) > MAX_DEPTH:
        raise InvalidJob(f"{what} is nested deeper than {MAX_DEPTH} levels.")
    if len(raw) > MAX_DIGITS and _MANY_DIGITS.search(_STRINGS.sub(b"", raw)):
        raise InvalidJob(f"{what} has an integer of over {MAX_DIGITS:,} digits.")
    try:
        from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        raise InvalidJob(f"{what} is not JSON: {error}.") from None
    value = json.loads(raw, object_pairs_hook=_once)
    if is_suspicious(raw) or is_suspicious(to_json(value, inf_nan_mode="constants")):
        check_value(value, what)
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object whose keys are all different."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise InvalidJob(f"The key {clean_text(key, 80)!r} is given twice.")
        found[key] = value
    return found


def dump_result(
    value: Any,
    *,
    encode: Callable[[Any], bytes | None] = lambda _value: None,
    limit: int = RESULT_LIMIT,
) -> str | None:
    """Return what a handler returned as JSON text, None for None.

    `encode` may know better how; where it returns None, the value's own type decides.

    Dataclasses, models, datetimes, enums, UUIDs, paths, decimals, sets and bytes (as base64)
    become JSON; NUL and lone surrogates become U+FFFD. Raises `InvalidJob` for what JSON cannot
    hold and `TooLarge` over `limit` bytes, and nothing else.
    """
    if value is None:
        return None
    try:
        raw = encode(value) or encoded(value)
        if is_suspicious(raw):
            raw = _cleaned(from_json(raw))
    except InvalidJob:
        raise
    except Exception as error:  # noqa: BLE001 - a handler's value may do anything when looked at
        raw = _second_try(value, error)
    return sized(raw, what="The result", limit=limit)


def encoded(value: Any) -> bytes:
    """Return a result as JSON, as the types of its parts have it."""
    return to_json(value, inf_nan_mode="constants", bytes_mode="base64", by_alias=True)


def _second_try(value: Any, first: Exception) -> bytes:
    """Encode a result whose text could not be encoded, cleaned; or say why it cannot be."""
    try:
        plain = to_jsonable_python(
            clean_value(value), inf_nan_mode="constants", bytes_mode="base64", by_alias=True
        )
        return _cleaned(plain)
    except InvalidJob:
        raise
    except Exception:  # noqa: BLE001 - the same value, looked at once more
        raise not_json("The result", first) from None


def _cleaned(value: Any) -> bytes:
    """Return plain data as JSON with its text cleaned; refuse the rest of what JSON cannot hold."""
    cleaned = clean_value(value)
    check_value(cleaned, "result")
    return to_json(cleaned)


def clean_value(value: Any, level: int = 0) -> Any:
    """Return plain data with NUL and lone surrogates in its text replaced by U+FFFD."""
    if level > MAX_DEPTH:
        raise InvalidJob(f"The result is nested deeper than {MAX_DEPTH} levels, or holds itself.")
    if isinstance(value, str):
        return BAD_TEXT.sub("\ufffd", value)
    if isinstance(value, dict):
        return {
            clean_value(key, level) if isinstance(key, str) else key: clean_value(item, level + 1)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [clean_value(item, level + 1) for item in value]
    return value
