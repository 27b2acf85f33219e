"""The results of one kind: written in the worker and read by who waits, as they are annotated."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Any

from pydantic_core import SchemaSerializer, SchemaValidator, ValidationError, from_json

from workhorse import codec
from workhorse.arguments import adapter, plain_schema


class Results:
    """Encoding and decoding by the annotation of what a handler returns.

    An annotation that says no more than JSON does, or that pydantic does not understand, is none.
    """

    def __init__(self, hint: Any) -> None:
        self._validator: SchemaValidator | None = None
        self._serializer: SchemaSerializer | None = None
        try:
            if plain_schema(hint) is None:
                self._validator, self._serializer = adapter(hint)
        except Exception:  # noqa: BLE001 - an odd annotation must not hide a result
            return

    def dump(self, value: Any) -> str | None:
        """Return a result as JSON text; None for None. See `codec.dump_result`."""
        return codec.dump_result(value, encode=self._encode)

    def load(self, text: str) -> Any:
        """Return a result as its annotation has it; as plain data when it does not fit."""
        found = self._fitting(text)
        return from_json(text) if found is None else found[0]

    def _encode(self, value: Any) -> bytes | None:
        """Return JSON that will be read as annotated; None where there is none.

        The value's own type says most to whoever reads the JSON (what a model computes, what a
        subclass adds): the annotation decides only where the other could not be read.
        """
        if self._serializer is None:
            return None
        annotated = partial(self._serializer.to_json, value, by_alias=True, warnings="error")
        for encode in (
            partial(codec.encoded, value),
            annotated,
            partial(annotated, round_trip=True),
        ):
            with suppress(Exception):  # the value is not what is annotated, or does anything
                raw = encode()
                if self._fitting(raw) is not None:
                    return raw
        return None

    def _fitting(self, text: str | bytes) -> tuple[Any] | None:
        if self._validator is None:
            return None
        try:
            return (self._validator.validate_json(text),)
        except ValidationError:
            return None
