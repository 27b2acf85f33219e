"""Printing rows: a table with aligned columns, JSON, JSON lines, or bare ids.

A row is plain JSON data as `workhorse.cli.rows` makes it. What a job wrote may hold anything,
so control characters never reach a terminal: they are shown as escapes.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import click

from workhorse.logs import wants_colour
from workhorse.screen import STATE_COLOURS, clean, cut, escaped, speaks_unicode, width

Row = Mapping[str, Any]

_COLOURS: Final = {
    **STATE_COLOURS,
    "error": "red",
    "warn": "yellow",
    "ok": "green",
    "alive": "green",
    "draining": "yellow",
    "silent": "red",
    "lost": "red",
}


class Column(NamedTuple):
    """One column of a table: its title, its text, and what its cells are."""

    title: str
    text: Callable[[Row], Any]
    right: bool = False
    """A number: aligned to the right."""
    state: bool = False
    """A state: in its colour."""


def print_rows(rows: Iterable[Row], output: str, columns: Sequence[Column]) -> None:
    """Print many rows. JSON is one array, an empty table its head; lines come one by one."""
    if output == "json":
        print(as_json(list(rows), indent=2))
    elif output == "table":
        print_table(list(rows), columns)
    else:
        for row in rows:
            print_line(row, output)


def print_row(row: Row, output: str, text: Callable[[Row], Iterable[str]]) -> None:
    """Print one row; as a table it is the lines of `text`."""
    if output == "json":
        print(as_json(row, indent=2))
    elif output == "table":
        for line in text(row):
            print(line)
    else:
        print_line(row, output)


def print_line(row: Row, output: str) -> None:
    """Print a row as one line: its id, or the whole as JSON."""
    print(_id(row) if output == "ids" else as_json(row))


def pairs(lines: Iterable[tuple[str, Any]]) -> Iterable[str]:
    """Yield labels and values, aligned; later lines of a value are indented. None is left out."""
    shown = [(label, value) for label, value in lines if value is not None]
    room = max((len(label) for label, _ in shown), default=0)
    for label, value in shown:
        first, *more = [clean(part) for part in str(value).splitlines()] or [""]
        yield f"{label:<{room}}  {paint(first) if label == 'state' else first}".rstrip()
        for line in more:
            yield f"{'':<{room}}  {line}".rstrip()


def print_table(rows: Sequence[Row], columns: Sequence[Column]) -> None:
    """Print rows under their titles; the last column is cut to the terminal's width."""
    cells = [[_cell(column.text(row)) for column in columns] for row in rows]
    widths = [
        max([len(column.title), *(width(line[i]) for line in cells)])
        for i, column in enumerate(columns)
    ]
    if sys.stdout.isatty():
        room = shutil.get_terminal_size().columns - sum(widths[:-1]) - 2 * (len(widths) - 1)
        widths[-1] = max(min(widths[-1], room), len(columns[-1].title))
    head = _line([column.title for column in columns], widths, columns, styled=False)
    print(click.style(head, bold=True) if wants_colour(sys.stdout) else head)
    for line in cells:
        print(_line(line, widths, columns))


def paint(text: str, *, like: str | None = None) -> str:
    """Colour `text` as the state it names (or as `like`), on a terminal that wants colour."""
    colour = _COLOURS.get(like or text)
    if colour is None or not wants_colour(sys.stdout):
        return text
    return click.style(text, fg=colour)


def as_json(value: Any, *, indent: int | None = None) -> str:
    """Return plain JSON data as JSON, on one line unless indented, fit for a terminal."""
    ascii_only = not speaks_unicode(sys.stdout)
    return escaped(json.dumps(value, ensure_ascii=ascii_only, indent=indent))


def _id(row: Row) -> str:
    return str(next(row[key] for key in ("id", "seq", "name") if key in row))


def _cell(value: Any) -> str:
    return "-" if value is None or value == "" else clean(str(value))


def _line(
    cells: Sequence[str], widths: Sequence[int], columns: Sequence[Column], *, styled: bool = True
) -> str:
    parts = []
    for cell, room, column in zip(cells, widths, columns, strict=True):
        text = cut(cell, room)
        space = " " * (room - width(text))
        shown = paint(text) if styled and column.state else text
        parts.append(space + shown if column.right else shown + space)
    return "  ".join(parts).rstrip()
