"""What is passed to `enqueue` reaches the handler as it was, and its result comes back so."""

from __future__ import annotations

import enum
import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, Optional
from zoneinfo import ZoneInfo

import pytest
from pydantic import (
    BaseModel,
    Field,
    PlainSerializer,
    PlainValidator,
    SecretStr,
    computed_field,
)
from typing_extensions import TypedDict

from tests.app.helpers import stored
from workhorse import Context, InvalidJob, Workhorse


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    ONE = 1
    TWO = 2


@dataclass
class Point:
    x: int
    y: float = 0.0
    notes: dict[str, Any] = field(default_factory=dict)


@dataclass(eq=False)
class Uncomparable:
    x: int


@dataclass
class Place:
    """In JSON the same as a point."""

    x: int
    y: float = 0.0
    notes: dict[str, Any] = field(default_factory=dict)


@dataclass
class Spot(Point):
    colour: str = "red"


@dataclass
class Route:
    start: Point | Place


class Trip(BaseModel):
    stops: list[Point | Place]


class Line(NamedTuple):
    start: Point
    end: Point


class Order(BaseModel):
    number: int = Field(alias="orderNumber")
    when: datetime
    total: Decimal
    parts: list[Point] = []
    colour: Colour = Colour.RED


class Patch(TypedDict):
    path: str
    line: NotRequired[int]


class Secretive(BaseModel):
    name: str
    hidden: int = Field(exclude=True)


class Area(BaseModel, extra="forbid"):
    """Tells more than it takes."""

    width: int

    @computed_field  # type: ignore[prop-decorator]
    @property
    def size(self) -> int:
        return self.width**2


class Parrot(BaseModel):
    words: list[str] = []


class Macaw(Parrot):
    colour: str = "red"


class Reel:
    """Pydantic knows nothing of it but what an annotation says."""

    def __init__(self, film: str) -> None:
        self.film = film

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reel) and other.film == self.film

    def __hash__(self) -> int:
        return hash(self.film)


AsText = Annotated[
    Reel,
    PlainValidator(lambda given: given if isinstance(given, Reel) else Reel(given)),
    PlainSerializer(lambda reel: reel.film),
]

ANNA = uuid.UUID("6f1b1e2c-5a44-4c57-9f0e-2f3b6c1d7e8f")
NOON = datetime(2024, 2, 29, 12, 0, 0, 678, tzinfo=UTC)


def _name(hint: Any) -> str:
    return "text of a film" if "Reel" in str(hint) else str(hint)


CASES: list[tuple[Any, Any]] = [
    (str, "Grüße, 世界 🐎"),
    (str, ""),
    (str, "NaN Infinity \\u0000 \\ \" ' \n\t\x7f"),
    (int, -(2**63)),
    (int, 10**999),
    (float, 0.1),
    (float, -1e308),
    (bool, True),
    (None, None),
    (Any, {"a": [1, 2.5, None, {"b": "c"}]}),
    (object, [True, "x"]),
    (list, [1, "two", None]),
    (dict, {"a": {"b": [1]}}),
    (list[int], []),
    (list[dict[str, int]], [{"a": 1}, {}]),
    (dict[str, list[float]], {"a": [0.5]}),
    (int | None, None),
    (int | None, 5),
    (int | str, 5),
    (int | str, "5"),
    (Optional[list[str]], ["a"]),  # noqa: UP045 - users still write it
    (Literal["fast", "slow"], "slow"),
    (datetime, NOON),
    (datetime, datetime(2024, 1, 1, 3, 4, 5, 678)),  # noqa: DTZ001 - a naive one stays naive
    (datetime, datetime(2024, 7, 1, tzinfo=ZoneInfo("Europe/Berlin"))),
    (datetime, datetime(2024, 7, 1, tzinfo=timezone(timedelta(hours=-3, minutes=-30)))),
    (date, date(2024, 2, 29)),
    (time, time(23, 59, 59, 999999)),
    (timedelta, timedelta(days=-3, microseconds=7)),
    (date | datetime, NOON),
    (datetime | date, date(2024, 2, 29)),
    (Colour, Colour.BLUE),
    (Level, Level.TWO),
    (uuid.UUID, ANNA),
    (uuid.UUID | str, ANNA),
    (Path, Path("/srv/pictures/cat 1.png")),
    (Decimal, Decimal("0.10000000000000000001")),
    (float | Decimal, Decimal("1.50")),
    (bytes, bytes(range(256))),
    (set[int], {1, 2, 3}),
    (frozenset[str], frozenset({"a", "b"})),
    (set[tuple[int, str]], {(1, "a")}),
    (tuple[int, str], (1, "a")),
    (tuple[int, ...], (1, 2, 3)),
    (Sequence[int], [1, 2]),
    (Mapping[str, Colour], {"a": Colour.RED}),
    (dict[int, str], {1: "a", 2: "b"}),
    (dict[Colour, int], {Colour.RED: 1}),
    (dict[date, Decimal], {date(2024, 1, 1): Decimal("1.1")}),
    (Annotated[int, Field(gt=3)], 4),
    (IPv4Address, IPv4Address("10.0.0.1")),
    (Point, Point(1, 2.5, {"size": [1, 2]})),
    (list[Point], [Point(1), Point(2)]),
    (Point | None, Point(3)),
    (Line, Line(Point(1), Point(2))),
    (Patch, {"path": "a.py"}),
    (Patch, {"path": "a.py", "line": 3}),
    (Order, Order(orderNumber=7, when=NOON, total=Decimal("9.90"), parts=[Point(1)])),
    (Order | Point, Point(1)),
    (dict[str, Order], {"a": Order(orderNumber=7, when=NOON, total=Decimal("0.1"))}),
    (Area, Area(width=3)),
    (dict[str, Area], {"a": Area(width=3)}),
    (AsText, Reel("The General")),
    (list[AsText], [Reel("The General")]),
]


@pytest.mark.parametrize(("hint", "value"), CASES, ids=[_name(hint) for hint, _ in CASES])
def test_an_argument_and_a_result_come_through_as_they_were(
    inline: Workhorse, hint: Any, value: Any
) -> None:
    """Value and type survive: caller → store → handler, and handler → store → caller."""
    seen: list[Any] = []

    def echo(value: Any) -> Any:
        seen.append(value)
        return value

    echo.__annotations__ = {"value": hint, "return": hint}
    result = inline.job(echo).enqueue(value).result()

    assert seen == [value]
    assert type(seen[0]) is type(value)
    assert result == value
    assert type(result) is type(value)


def test_a_tuple_in_plain_data_becomes_a_list(inline: Workhorse) -> None:
    """JSON has one kind of sequence: where a list may be meant as well, one arrives."""
    seen: list[Any] = []

    @inline.job
    def plain(data: Any) -> None:
        seen.append(data)

    @inline.job
    def typed(point: Point) -> None:
        seen.append(point.notes)

    @inline.job
    def either(size: list[int] | tuple[int, ...]) -> None:
        seen.append({"size": size})

    plain.enqueue({"size": (1, 2)})
    typed.enqueue(Point(1, notes={"size": (1, 2)}))
    either.enqueue((1, 2))
    assert seen == [{"size": [1, 2]}] * 3


def test_what_cannot_be_compared_is_taken_at_its_word(inline: Workhorse) -> None:
    """A type without a comparison of its own is no reason to refuse it."""
    seen: list[int] = []

    @inline.job
    def take(one: Uncomparable, many: Iterable[int]) -> None:
        seen.extend([one.x, *many])

    take.enqueue(Uncomparable(7), [8, 9])
    assert seen == [7, 8, 9]


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (bytes | str, "abcd"),
        (uuid.UUID | str, str(ANNA)),
        (SecretStr, SecretStr("hush")),
        (Point, Point(1, notes={"when": NOON})),
        (Point, Point(1, notes={"raw": b"\0"})),
        (dict[str, Secretive], {"a": Secretive(name="x", hidden=3)}),
        (Point | Place, Place(1, 2.5)),
        (list[Point | Place], [Point(1), Place(1)]),
        (dict[str, Point | Place], {"a": Place(1)}),
        (Route, Route(Place(1))),
        (Trip, Trip(stops=[Place(1)])),
        (Point, Place(1)),
        (Point, Spot(1)),
    ],
    ids=str,
)
def test_what_json_would_give_back_as_something_else_is_refused(
    app: Workhorse, hint: Any, value: Any
) -> None:
    """A handler never silently gets another value than was passed: the argument is named."""

    def take(fine: int, odd: Any) -> None:
        """Never called."""

    take.__annotations__ = {"fine": int, "odd": hint}
    kind = app.job(take)
    with pytest.raises(InvalidJob, match=r"args\.odd") as refused:
        kind.enqueue(1, value)
    assert "args.fine" not in str(refused.value)
    assert stored(app) == []


@pytest.mark.parametrize("inside", [False, True], ids=["plain", "list"])
@pytest.mark.parametrize("backwards", [False, True], ids=["in order", "backwards"])
def test_a_union_is_read_in_its_own_order(
    inline: Workhorse, *, backwards: bool, inside: bool
) -> None:
    """To Python `A | B` equals `B | A`: another kind that has it so, used before, changes nothing.

    Of two types that are the same in JSON the first is taken, in arguments and results.
    """

    @dataclass
    class Ok:
        value: int

    @dataclass
    class Err:
        value: int

    def needed(value: Any) -> Any:
        return value

    def left_out(value: Any = None) -> Any:
        return value

    hints: list[tuple[type, Any]] = [(Ok, Ok | Err), (Err, Err | Ok)]
    if inside:
        hints = [(Ok, list[Ok | Err]), (Err, list[Err | Ok])]
    for first, hint in reversed(hints) if backwards else hints:
        for func in (needed, left_out):
            func.__annotations__ = {"value": hint, "return": hint}
            kind = inline.job(name=f"{func.__name__}_{first.__name__}")(func)
            data = {"value": 1}
            handle = inline.enqueue_by_name(kind.name, {"value": [data] if inside else data})

            expected = [first(1)] if inside else first(1)
            assert kind.spec.load_args(handle.job.args) == ((), {"value": expected})
            assert handle.result() == expected


def test_every_shape_of_signature(inline: Workhorse) -> None:
    """By position, by name, only by position, only by name, with and without defaults."""
    seen: list[tuple[object, ...]] = []

    @inline.job
    def shape(a: int, b: int = 2, /, c: int = 3, *, d: int, e: int = 5) -> None:
        seen.append((a, b, c, d, e))

    shape.enqueue(1, d=4)
    shape.enqueue(1, 20, d=4, e=50)
    shape.enqueue(1, 20, 30, d=40)
    shape.enqueue(1, c=30, d=4)
    inline.enqueue_by_name("shape", {"a": 1, "d": 4})
    inline.enqueue_by_name("shape", {"d": 4, "b": 20, "a": 1})
    assert seen == [
        (1, 2, 3, 4, 5),
        (1, 20, 3, 4, 50),
        (1, 20, 30, 40, 5),
        (1, 2, 30, 4, 5),
        (1, 2, 3, 4, 5),
        (1, 20, 3, 4, 5),
    ]


def test_a_gap_before_an_argument_passed_by_position_takes_its_default(inline: Workhorse) -> None:
    """JSON names arguments: one that can only be passed by position may still be left out."""
    seen: list[tuple[int, int]] = []

    @inline.job
    def shape(a: int = 1, b: int = 2, /) -> None:
        seen.append((a, b))

    inline.enqueue_by_name("shape", {"b": 20})
    assert seen == [(1, 20)]


def test_a_default_is_the_workers(app: Workhorse) -> None:
    """A default that was not passed is not stored: the code that runs the job supplies it."""

    @app.job
    def resize(width: int, height: int = 600) -> None:
        """Never run here."""

    assert resize.enqueue(800).job.args == '{"width":800}'


def test_a_mutable_default_is_fresh_for_every_job(inline: Workhorse) -> None:
    """Two jobs of one kind share nothing that came as an argument."""
    seen: list[list[int]] = []

    @inline.job
    def collect(into: list[int]) -> None:
        into.append(len(into))
        seen.append(into)

    mine: list[int] = []
    collect.enqueue(mine)
    collect.enqueue(mine)
    assert seen == [[0], [0]]
    assert mine == []


def test_the_context_is_no_argument(inline: Workhorse) -> None:
    """A handler with a context has it first, and a caller never passes it."""
    seen: list[Any] = []

    @inline.job
    def annotated(ctx: Context, a: int) -> None:
        seen.append((ctx.kind, ctx.queue, ctx.attempt, a))

    @inline.job(queue="builds")
    def named(ctx, a=1):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        seen.append((ctx.kind, ctx.queue, ctx.attempt, a))

    annotated.enqueue(5)
    named.enqueue(a=6)
    assert seen == [("annotated", "default", 1, 5), ("named", "builds", 1, 6)]


def test_a_model_is_passed_as_outside_callers_write_it(inline: Workhorse) -> None:
    """A JSON object from the command line builds the same model, by its aliases."""
    seen: list[Order] = []

    @inline.job
    def ship(order: Order) -> None:
        seen.append(order)

    order = Order(orderNumber=7, when=NOON, total=Decimal("9.90"))
    as_json = {"orderNumber": 7, "when": "2024-02-29T12:00:00.000678Z", "total": "9.90"}
    ship.enqueue(order)
    inline.enqueue_by_name("ship", {"order": as_json})
    assert seen == [order, order]


def test_a_result_in_json_says_all_that_can_be_read_again(inline: Workhorse) -> None:
    """What a model computes and a subclass adds is there for who reads JSON, if it does no harm."""

    @inline.job
    def bird() -> Parrot:
        return Macaw(words=["hello"])

    @inline.job
    def area() -> Area:
        return Area(width=3)

    assert json.loads(bird.enqueue().job.result or "") == {"words": ["hello"], "colour": "red"}
    assert json.loads(area.enqueue().job.result or "") == {"width": 3}


@pytest.mark.parametrize(
    ("hint", "value", "read"),
    [
        (date | str, "2025-03-01", date(2025, 3, 1)),
        (date | None | str, "2025-03-01", date(2025, 3, 1)),
        (str | date, date(2025, 3, 1), "2025-03-01"),
        (uuid.UUID | str, str(ANNA), ANNA),
        (Decimal | str, "5.10", Decimal("5.10")),
    ],
    ids=str,
)
def test_a_result_of_types_that_look_alike_is_read_as_the_first(
    inline: Workhorse, hint: Any, value: Any, read: Any
) -> None:
    """JSON does not tell them apart; unlike an argument it is not refused: the work is done."""

    def give() -> Any:
        return value

    give.__annotations__ = {"return": hint}
    assert inline.job(give).enqueue().result() == read


def test_a_result_that_no_longer_fits_its_annotation_is_plain_data(inline: Workhorse) -> None:
    """Code changes; a stored result is never lost to it."""

    def old() -> Any:
        return {"width": "wide"}

    handle = inline.job(name="resize")(old).enqueue()
    other = Workhorse(inline.url)

    def new() -> Point:
        return Point(1)

    other.job(name="resize")(new)
    assert other.get(handle.id).result() == {"width": "wide"}
    other.close()
