"""What may not be an argument is refused where it is enqueued, by its place; nothing is stored."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from pydantic import BaseModel

from tests.app.helpers import nested, odd_text, odd_values, stored, work
from workhorse import InvalidJob, Retry, State, TooLarge, Workhorse
from workhorse.codec import ARGS_LIMIT, MAX_DEPTH, dump_json, load_json

NAN, INFINITY = float("nan"), float("inf")


@dataclass
class Box:
    content: Any


class Parcel(BaseModel):
    label: str = ""
    content: Any = None


class Hostile:
    def __eq__(self, other: object) -> bool:
        raise RuntimeError("do not compare me")

    __hash__ = None  # type: ignore[assignment]


def cycle() -> list[Any]:
    loop: list[Any] = []
    loop.append({"again": loop})
    return loop


PLAIN: list[tuple[str, Any, str]] = [
    ("NUL", {"a": ["x\0y"]}, r"args\.data\.a\[0\] has a NUL character at position 1"),
    ("lone surrogate", {"a": "\ud800"}, r"args\.data\.a has a lone surrogate at position 0"),
    ("NUL in a key", {"a\0": 1}, r"a key of args\.data has a NUL"),
    ("surrogate in a key", {"\udfff": 1}, r"a key of args\.data has a lone surrogate"),
    ("NaN", [1.0, NAN], r"args\.data\[1\] is nan, which is not JSON"),
    ("infinity", {"a": {"b": -INFINITY}}, r"args\.data\.a\.b is -inf, which is not JSON"),
    ("digits", {"n": 10**5000}, r"args\.data\.n is an integer of over 1,000 digits"),
    ("negative digits", [-(10**1000)], r"args\.data\[0\] is an integer of over 1,000 digits"),
    ("depth", nested(1000), r"args\.data\[0\]\[0\].+ is nested deeper than 64 levels"),
    ("extreme depth", nested(100_000), "is nested deeper than 64 levels"),
    ("cycle", cycle(), "is nested deeper than 64 levels, or holds itself"),
    ("integer key", {"a": {1: 2}}, r"args\.data\.a has a key that is not text: 1"),
    ("none key", {None: 2}, r"args\.data has a key that is not text: None"),
    ("set", {"a": {1, 2}}, r"args\.data\.a is of type set, which is not plain JSON"),
    ("bytes", [b"x"], r"args\.data\[0\] is of type bytes"),
    ("datetime", datetime(2024, 1, 1, tzinfo=UTC), r"args\.data is of type datetime\.datetime"),
    ("dataclass", {"a": Box(1)}, r"args\.data\.a is of type tests.app.test_payloads.Box"),
    ("object", Hostile(), r"args\.data is of type tests.app.test_payloads.Hostile"),
    ("function", [len], r"args\.data\[0\] is of type builtin_function_or_method"),
]


@pytest.mark.parametrize(("value", "told"), [p[1:] for p in PLAIN], ids=[p[0] for p in PLAIN])
def test_what_json_cannot_hold_is_refused_with_its_place(
    app: Workhorse, value: Any, told: str
) -> None:
    """The error says where and what; neither the row nor an event exists."""

    @app.job
    def take(data: Any) -> None:
        """Never called."""

    with pytest.raises(InvalidJob, match=told):
        take.enqueue(value)
    with pytest.raises(InvalidJob, match=told):
        app.enqueue_many([take.bind("fine"), take.bind(value)])
    with pytest.raises(InvalidJob, match=told):
        app.enqueue_by_name("take", {"data": value})
    assert stored(app) == []
    assert app.store.events() == []


TYPED: list[tuple[str, Any, str]] = [
    ("NUL in a model", Parcel(label="a\0"), r"args\.parcel\.label has a NUL"),
    ("surrogate in a model", Parcel(label="\ud800"), r"args\.parcel\.label has a lone surrogate"),
    ("surrogate inside", Parcel(content=["\ud800"]), r"args\.parcel\.content\[0\] has a lone"),
    ("NaN in a model", Parcel(content=NAN), r"args\.parcel would come back"),
    ("digits in a model", Parcel(content=10**5000), r"args\.parcel"),
    ("depth in a model", Parcel(content=nested(1000)), r"args\.parcel"),
    ("cycle in a model", Parcel(content=cycle()), r"args\.parcel"),
    ("object in a model", Parcel(content=Hostile()), r"args\.parcel cannot be JSON"),
    ("function in a model", Parcel(content=len), r"args\.parcel cannot be JSON"),
]


@pytest.mark.parametrize(("value", "told"), [p[1:] for p in TYPED], ids=[p[0] for p in TYPED])
def test_the_same_inside_a_type(app: Workhorse, value: Parcel, told: str) -> None:
    """A model or a dataclass hides nothing: the argument is named."""

    @app.job
    def send(parcel: Parcel, note: str = "") -> None:
        """Never called."""

    with pytest.raises(InvalidJob, match=told):
        send.enqueue(value, note="fine")
    assert stored(app) == []


@pytest.mark.parametrize("hint", [str, list[str], dict[str, str], str | int, Any])
@pytest.mark.parametrize("text", ["\0", "\ud800"])
def test_odd_text_is_refused_whatever_the_annotation(app: Workhorse, hint: Any, text: str) -> None:
    """Text that a database cannot keep gets through no type."""

    def take(data: Any) -> None:
        """Never called."""

    take.__annotations__ = {"data": hint}
    value = {list[str]: [text], dict[str, str]: {"k": text}}.get(hint, text)
    with pytest.raises(InvalidJob, match=r"args\.data"):
        app.job(take).enqueue(value)
    assert stored(app) == []


def test_the_longest_payload_fits_and_one_byte_more_does_not(app: Workhorse) -> None:
    """1 MiB of JSON is accepted; the refusal of one more byte names both sizes and a way out."""

    @app.job
    def take(data: str) -> None:
        """Never called."""

    frame = len('{"data":""}')
    take.enqueue("x" * (ARGS_LIMIT - frame))
    with pytest.raises(TooLarge, match=r"1,048,577 bytes.+1,048,576.+reference"):
        take.enqueue("x" * (ARGS_LIMIT - frame + 1))
    assert len(stored(app)) == 1


def test_the_limit_counts_bytes_not_characters(app: Workhorse) -> None:
    """A text of three-byte characters is three times as long."""

    @app.job
    def take(data: str) -> None:
        """Never called."""

    with pytest.raises(TooLarge):
        take.enqueue("世" * (ARGS_LIMIT // 3))


def test_a_long_path_is_cut(app: Workhorse) -> None:
    """However long the keys: the error fits a line, and shows where the path begins and ends."""

    @app.job
    def take(data: Any) -> None:
        """Never called."""

    with pytest.raises(InvalidJob, match=r"^args\.data\.x+….*\.end has a NUL") as refused:
        take.enqueue({"x" * 100_000: {"end": "\0"}})
    assert len(str(refused.value)) < 150


@pytest.mark.parametrize("number", [10**400, -(10**400)], ids=["large", "negative"])
def test_a_number_too_large_for_a_float_is_refused(app: Workhorse, number: int) -> None:
    """An integer where a float is asked for must fit one."""

    @app.job
    def take(ratio: float) -> None:
        """Never called."""

    with pytest.raises(InvalidJob, match=r"args\.ratio"):
        take.enqueue(number)


def test_every_wrong_argument_is_named_at_once(app: Workhorse) -> None:
    """Wrong, missing and unknown arguments stand in one error."""

    @app.job
    def resize(picture: str, width: int, height: int = 1) -> None:
        """Never called."""

    with pytest.raises(InvalidJob) as refused:
        app.enqueue_by_name("resize", {"width": "wide", "colour": "red", "height": None})
    for told in (
        "resize:",
        "args.picture: missing",
        "args.width: input should be a valid integer",
        "args.height: input should be a valid integer",
        "args.colour: unknown argument",
    ):
        assert told in str(refused.value)
    assert "wide" not in str(refused.value), "a value may be a secret"
    assert stored(app) == []


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda kind: kind.enqueue(), r"args\.a: missing"),
        (lambda kind: kind.enqueue(1, 2, 3), "takes 1 arguments by position, 3 were given"),
        (lambda kind: kind.enqueue(1, a=2), "a was given twice"),
        (lambda kind: kind.enqueue(1, c=2), r"args\.c: unknown argument"),
        (lambda kind: kind.enqueue("one"), r"args\.a: input should be a valid integer"),
        (lambda kind: kind.enqueue(a=None, b=1.5), r"args\.a: .+; args\.b: "),
    ],
)
def test_a_call_that_does_not_fit_is_refused(
    app: Workhorse, call: Callable[[Any], object], told: str
) -> None:
    """What a type checker would have said is said at enqueue, and nothing is stored."""

    @app.job
    def take(a: int, *, b: int = 0) -> None:
        """Never called."""

    with pytest.raises(InvalidJob, match=told):
        call(take)
    assert stored(app) == []


class Guest(BaseModel, extra="forbid"):
    name: str = ""


THREE = Retry(max_attempts=3)
NEWER = "unknown argument. Newer code may have enqueued it"
DRIFTED: list[tuple[str, dict[str, Any], Retry, int, str]] = [
    ("unknown", {"day": "2030-01-31", "beds": 2}, THREE, 3, f"args.beds: {NEWER}"),
    ("in a model", {"day": "2030-01-31", "guest": {"age": 1}}, THREE, 3, f"guest.age: {NEWER}"),
    ("renamed", {"until": "2030-01-31"}, THREE, 3, f"args.until: {NEWER}"),
    ("unwanted", {"day": "2030-01-31", "beds": 2}, Retry(never=(TypeError,)), 1, NEWER),
    ("missing", {}, THREE, 1, "args.day: missing"),
    ("of another type", {"day": "soon"}, THREE, 1, "args.day: input should be a valid date"),
]


@pytest.mark.parametrize(
    ("args", "retry", "attempts", "told"), [d[1:] for d in DRIFTED], ids=[d[0] for d in DRIFTED]
)
def test_arguments_that_other_code_has_enqueued(
    app: Workhorse, args: dict[str, Any], retry: Retry, attempts: int, told: str
) -> None:
    """Newer code may take an unknown one, so its job is tried again; any other fault is final."""

    @app.job(retry=retry)
    def book(day: date, guest: Guest | None = None) -> None:
        """Never called."""

    with closing(Workhorse(app.url)) as other:

        @other.job(name="book", retry=retry)
        def take(day: str = "", until: str = "", beds: int = 0, guest: Any = None) -> None:
            """Not called here."""

        job = other.enqueue_by_name("book", args).id
    work(app, job)
    handle = app.get(job)
    assert (handle.state, handle.job.attempt) == (State.FAILED, attempts)
    assert told in handle.explain()


@pytest.mark.parametrize("odd", [None, [], "{}", 5])
def test_arguments_from_outside_are_an_object(app: Workhorse, odd: Any) -> None:
    """`enqueue_by_name` takes arguments by name, and nothing else."""

    @app.job
    def take() -> None:
        """Never called."""

    with pytest.raises(InvalidJob, match="must be a JSON object"):
        app.enqueue_by_name("take", odd)


OUTSIDE: list[tuple[str, str | bytes, str]] = [
    ("twice", '{"a": 1, "a": 2}', "The key 'a' is given twice"),
    ("twice inside", '[{"a": {"b": 1, "b": 1}}]', "The key 'b' is given twice"),
    ("twice by an escape", '{"a": 1, "\\u0061": 2}', "The key 'a' is given twice"),
    ("NaN", '{"a": NaN}', "not JSON"),
    ("infinity", "[-Infinity]", "not JSON"),
    ("too large a float", "[1e999]", r"the text\[0\] is inf"),
    ("escaped NUL", '"\\u0000"', "the text has a NUL"),
    ("escaped surrogate", '["\\ud800"]', "not JSON"),
    ("surrogate", '"\ud800"', "not JSON"),
    ("not UTF-8", b'"\xff"', "not JSON"),
    ("digits", "[" + "9" * 5000 + "]", "an integer of over 1,000 digits"),
    ("depth", "[" * 1000 + "]" * 1000, "nested deeper than 64 levels"),
    ("depth, unclosed", "[" * 100_000, "nested deeper than 64 levels"),
    ("depth of objects", '{"a":' * 65 + "1" + "}" * 65, "nested deeper than 64 levels"),
    ("nothing", "", "not JSON"),
    ("a trailing comma", "[1,]", "not JSON"),
    ("two values", "1 2", "not JSON"),
    ("one byte too many", '"' + "x" * (ARGS_LIMIT - 1) + '"', "1,048,577 bytes"),
]


@pytest.mark.parametrize(("text", "told"), [o[1:] for o in OUTSIDE], ids=[o[0] for o in OUTSIDE])
def test_json_from_outside_is_read_as_strictly(text: str | bytes, told: str) -> None:
    """Text from a command line or a request is held to the same rules, and never overflows."""
    with pytest.raises(InvalidJob, match=told):
        load_json(text)


def test_json_from_outside_at_its_limits() -> None:
    """The deepest nesting, the longest integer and quotes and brackets in text are fine."""
    assert load_json("[" * MAX_DEPTH + "]" * MAX_DEPTH) == nested(MAX_DEPTH - 1, [])
    assert load_json("9" * 1000) == int("9" * 1000)
    text = json.dumps("[" * 1000 + '\\"' + "9" * 5000)
    assert load_json(text) == json.loads(text)


@given(odd_values)
def test_json_is_taken_faithfully_or_not_at_all(value: Any) -> None:
    """Any plain value: it is refused, or its text is read back as the very same value."""
    try:
        text = dump_json(value, what="it", limit=ARGS_LIMIT)
    except InvalidJob:
        return
    assert "\\u0000" not in text.replace("\\\\", "")
    assert load_json(text) == json.loads(text) == value


@given(odd_text)
def test_text_is_taken_faithfully_or_not_at_all(text: str) -> None:
    """Refused are NUL and lone surrogates, and nothing else."""
    bad = "\0" in text or any("\ud800" <= c <= "\udfff" for c in text)
    try:
        assert load_json(dump_json(text, what="it", limit=ARGS_LIMIT)) == text
    except InvalidJob:
        assert bad
    else:
        assert not bad
