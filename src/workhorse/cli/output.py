"""Printing rows: a table with aligned columns, JSON, JSON lines, or bare ids.

A row is plain JSON data as `workhorse.cli.rows` makes it. What a job wrote may hold anything,
so control characters never reach a terminal: they are shown as escapes.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import click

from workhorse.logs import wants_colour
from workhorse.screen import STATE_COLOURS, clean, cut, width

Row = Mapping[str, Any]

_COLOURS: Final = {
    **STATE_COLOURS,
    "error": "red",
    "warn": "yellow",
    "ok": "green",
    "alive": "green",
    "draining": "yellow",
    "lost": "red",
}


class Column(NamedTuple):
    """One column of a table: its title, its text, and whether it is a number."""

    title: str
    text: Callable[[Row], Any]
    right: bool = False


def print_rows(rows: Sequence[Row], output: str, columns: Sequence[Column]) -> None:
    """Print many rows. JSON is one array; an empty table prints nothing but its head."""
    if output == "json":
        click.echo(_json(list(rows), indent=2))
    elif output == "table":
        print_table(rows, columns)
    else:
        for row in rows:
            click.echo(_id(row) if output == "ids" else _json(row))


def print_row(row: Row, output: str, lines: Sequence[tuple[str, Any]]) -> None:
    """Print one row. As a table it is `lines`, a label and a value each; None is left out."""
    if output == "json":
        click.echo(_json(row, indent=2))
    elif output == "table":
        print_lines(lines)
    else:
        click.echo(_id(row) if output == "ids" else _json(row))


def print_lines(lines: Sequence[tuple[str, Any]]) -> None:
    """Print labels and values, one pair a line; several lines of a value are indented."""
    shown = [(label, value) for label, value in lines if value is not None]
    width = max((len(label) for label, _ in shown), default=0)
    for label, value in shown:
        first, *more = [clean(part) for part in str(value).splitlines()] or [""]
        click.echo(f"{label:<{width}}  {paint(first)}")
        for line in more:
            click.echo(f"{'':<{width}}  {line}")


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
    click.echo(_line([column.title for column in columns], widths, columns, head=True))
    for line in cells:
        click.echo(_line(line, widths, columns))


def paint(text: str, *, like: str | None = None) -> str:
    """Colour `text` as the state it names (or as `like`), on a terminal that wants colour."""
    colour = _COLOURS.get(like or text)
    if colour is None or not wants_colour(sys.stdout):
        return text
    return click.style(text, fg=colour)


def compact(value: Any) -> str:
    """Return plain JSON data as one short line of JSON."""
    return _json(value)


def _json(value: Any, *, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _id(row: Row) -> str:
    return str(next(row[key] for key in ("id", "seq", "name") if key in row))


def _cell(value: Any) -> str:
    return "-" if value is None or value == "" else clean(str(value))


def _line(
    cells: Sequence[str], widths: Sequence[int], columns: Sequence[Column], *, head: bool = False
) -> str:
    parts = []
    for cell, room, column in zip(cells, widths, columns, strict=True):
        text = cut(cell, room)
        space = " " * (room - width(text))
        shown = text if head else paint(text)
        parts.append(space + shown if column.right else shown + space)
    line = "  ".join(parts).rstrip()
    return click.style(line, bold=True) if head and wants_colour(sys.stdout) else line
