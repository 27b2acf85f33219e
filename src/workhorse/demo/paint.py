"""Lines made of coloured pieces, cut to the width of a terminal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple, TextIO

import click

from workhorse.domain.job import State
from workhorse.logs import wants_colour
from workhorse.screen import STATE_COLOURS, cut, speaks_unicode, width

MARKS: Final = {
    State.RUNNING: "▸",
    State.SUCCEEDED: "✓",
    State.FAILED: "✗",
    State.CANCELLED: "–",
}
ASCII: Final = str.maketrans("▸✓✗–·×│…", ">+x-.x|~")
"""What stands for our signs where they cannot be written."""


class Style(NamedTuple):
    """How a piece of text looks."""

    colour: str | None = None
    bold: bool | None = None
    dim: bool | None = None


PLAIN: Final = Style()
BOLD: Final = Style(bold=True)
DIM: Final = Style(dim=True)


class Piece(NamedTuple):
    """Part of a line: text without control characters, and its style."""

    text: str
    style: Style = PLAIN


class Painter:
    """Turns pieces into text for one stream, with colours where they are wanted."""

    def __init__(self, out: TextIO) -> None:
        self._colours = wants_colour(out)
        self._unicode = speaks_unicode(out)

    def line(self, pieces: Iterable[Piece], columns: int | None = None) -> str:
        """Return the line, cut to `columns`, without blanks at its end."""
        shown, room = "", columns
        for text, style in pieces:
            part = text if room is None else cut(text, room)
            room = None if room is None else room - width(part)
            shown += self._paint(part, style)
        return shown.rstrip() if self._unicode else shown.rstrip().translate(ASCII)

    def _paint(self, text: str, style: Style) -> str:
        if not self._colours or style == PLAIN or not text.strip():
            return text
        return click.style(text, fg=style.colour, bold=style.bold, dim=style.dim)


def style_of(state: State) -> Style:
    """Return how a state looks: waiting is dim."""
    colour = STATE_COLOURS.get(state)
    return Style(colour) if colour else DIM


def mark_of(state: State) -> Piece:
    """Return the sign of a state."""
    return Piece(MARKS.get(state, "·"), style_of(state))
