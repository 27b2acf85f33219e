"""Values and exceptions that do what they can to hurt whoever looks at them.

Imported as a module, never by name: pytest looks at every attribute of a test module.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, model_serializer

from workhorse import Reject, Snooze


class Lying(BaseModel):
    name: str = "x"

    @model_serializer
    def _say(self) -> Any:
        raise SystemExit("no")


class Silent:
    def __str__(self) -> str:
        raise SystemExit("no")

    __repr__ = __str__


@dataclass
class Box:
    content: Any


def cycle() -> list[Any]:
    loop: list[Any] = []
    loop.append(loop)
    return loop


class Mute(Exception):
    def __str__(self) -> str:
        raise ValueError("I will not say")


class Fatal(Exception):
    def __str__(self) -> str:
        raise KeyboardInterrupt


class Nosy(Exception):
    @property
    def __notes__(self) -> list[str]:  # type: ignore[override]
        raise RuntimeError("no notes")


class Hidden(type):
    def __getattribute__(cls, name: str) -> Any:
        raise SystemExit(name)


class Faceless(Exception, metaclass=Hidden):
    pass


class Bare(BaseException):
    pass


class Sleepy(Snooze):
    """A snooze that never says for how long."""

    def __init__(self) -> None:
        pass


class Restless(Snooze):
    """A snooze for no time that there is."""

    def __init__(self, seconds: object) -> None:
        super().__init__(1)
        self.seconds = seconds  # type: ignore[assignment]


class Curt(Reject):
    """A rejection that keeps its reason to itself."""

    def __init__(self) -> None:
        pass


class Odd(Exception):
    pass


Odd.__qualname__ = "Odd\0\ud800" + "!" * 1000
Odd.__module__ = 5  # type: ignore[assignment]


def with_notes() -> Exception:
    error = ValueError("noted")
    for note in ("a note", "NUL \0, surrogate \ud800", "x" * 100_000):
        error.add_note(note)
    return error


def odd_syntax() -> Exception:
    error = SyntaxError("odd", ("f\0.py", 1, 2, "\ud800", 1, 3))
    error.filename, error.lineno = object(), "one"  # type: ignore[assignment]
    return error


def chained(length: int) -> BaseException:
    error: BaseException = ValueError("first")
    for number in range(length):
        following = RuntimeError(number)
        following.__cause__ = error
        error = following
    return error


def causing_itself() -> Exception:
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    return one


def grouped(levels: int) -> Exception:
    error: Exception = ValueError("inmost")
    for level in range(levels):
        error = ExceptionGroup(f"level {level}", [error])
    return error


def endless() -> None:
    endless()


EXCEPTIONS: list[tuple[str, Callable[[], BaseException]]] = [
    ("mute", Mute),
    ("fatal when asked", Fatal),
    ("without notes", lambda: Nosy("x")),
    ("faceless", lambda: Faceless("x")),
    ("an odd name", lambda: Odd("x")),
    ("odd text", lambda: ValueError("a\0b\ud800c")),
    ("too many digits", lambda: ValueError(10**5000)),
    ("10 MB", lambda: ValueError("x" * 10_000_000)),
    ("notes", with_notes),
    ("odd syntax error", odd_syntax),
    ("a long chain", lambda: chained(5000)),
    ("causing itself", causing_itself),
    ("a wide group", lambda: ExceptionGroup("wide\0", [ValueError("\ud800")] * 1000)),
    ("a deep group", lambda: grouped(2000)),
    ("a snooze without seconds", Sleepy),
    ("a snooze for text", lambda: Restless("soon")),
    ("a snooze into the past", lambda: Restless(-1.0)),
    ("a snooze without end", lambda: Restless(float("inf"))),
    ("a rejection without a reason", Curt),
    ("a bare BaseException", lambda: Bare("x")),
    ("SystemExit", lambda: SystemExit(3)),
    ("StopIteration", lambda: StopIteration(3)),
    ("GeneratorExit", GeneratorExit),
    ("no memory", lambda: MemoryError("\ud800")),
]
