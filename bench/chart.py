"""A bar chart as SVG: pure text from figures, readable on light and dark pages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import Final, NamedTuple

from bench.spread import Spread, number

WIDTH: Final = 760
NAMES: Final = 150
FIGURES: Final = 90
BAR: Final = 18
ROW: Final = 26
HEAD: Final = 62
GAP: Final = 30
FOOT: Final = 24

_STYLE: Final = """
  text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #24292f }
  .title { font-size: 15px; font-weight: 600 }
  .note { fill: #656d76; font-size: 12px }
  .ours { font-weight: 600 }
  .figure { font-variant-numeric: tabular-nums }
  .track { fill: #eaeef2 }
  .bar { fill: #8c959f }
  .bar.ours { fill: #0969da }
  .range { stroke: #24292f; stroke-width: 1.5; opacity: .55 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .note { fill: #8d96a0 }
    .track { fill: #21262d }
    .bar { fill: #6e7681 }
    .bar.ours { fill: #4493f8 }
    .range { stroke: #e6edf3 }
  }
"""


class Bar(NamedTuple):
    """One peer's figure; the thin line on its bar spans the rounds."""

    name: str
    figure: Spread
    is_ours: bool


class Panel(NamedTuple):
    """Bars of one unit. They are drawn best first."""

    title: str
    note: str
    bars: Sequence[Bar]
    least_is_best: bool = False


def chart(panels: Sequence[Panel], foot: str) -> str:
    """Return the panels, one below the other, as a picture."""
    heights = [HEAD + ROW * len(panel.bars) + GAP for panel in panels]
    height = sum(heights) + FOOT
    body: list[str] = []
    top = 0
    for panel, tall in zip(panels, heights, strict=True):
        body += _panel(panel, top)
        top += tall
    body.append(_text(0, height - 8, foot, "note"))
    lines = "\n".join(f"  {line}" for line in body)
    title = escape("; ".join(panel.title for panel in panels))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-12 0 {WIDTH + 24} {height}" '
        f'width="{WIDTH + 24}" height="{height}" role="img">\n'
        f"  <title>{title}</title>\n  <style>{_STYLE}  </style>\n{lines}\n</svg>\n"
    )


def _panel(panel: Panel, top: int) -> Iterator[str]:
    yield _text(0, top + 26, panel.title, "title")
    yield _text(0, top + 46, panel.note, "note")
    bars = sorted(panel.bars, key=lambda bar: bar.figure.median, reverse=not panel.least_is_best)
    longest = max(bar.figure.high for bar in bars)
    room = WIDTH - NAMES - FIGURES

    def along(value: float) -> float:
        return round(NAMES + room * value / longest, 1)

    for place, bar in enumerate(bars):
        y = top + HEAD + ROW * place
        ours = "ours" if bar.is_ours else ""
        middle = y + BAR / 2
        length = max(2.0, along(bar.figure.median) - NAMES)
        yield _text(NAMES - 10, y + 14, bar.name, ours, anchor="end")
        yield f'<rect class="track" x="{NAMES}" y="{y}" width="{room}" height="{BAR}" rx="3"/>'
        yield (
            f'<rect class="bar {ours}" x="{NAMES}" y="{y}" width="{length:.1f}" height="{BAR}" '
            'rx="3"/>'
        )
        yield (
            f'<line class="range" x1="{along(bar.figure.low)}" x2="{along(bar.figure.high)}" '
            f'y1="{middle}" y2="{middle}"/>'
        )
        yield _text(WIDTH, y + 14, number(bar.figure.median), f"figure {ours}", anchor="end")


def _text(x: float, y: float, words: str, kind: str, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x}" y="{y}" text-anchor="{anchor}">{escape(words)}</text>'
