"""The chart: what it shows is what was found."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from bench.chart import Bar, Panel, chart
from bench.spread import Spread

SVG = "{http://www.w3.org/2000/svg}"


def picture(*bars: Bar, least_is_best: bool = False) -> ET.Element:
    return ET.fromstring(chart([Panel("a < b", "note", bars, least_is_best)], "foot"))


def bar(name: str, median: float, *, ours: bool = False) -> Bar:
    return Bar(name, Spread(median, median / 2, median * 2), ours)


def words(svg: ET.Element) -> list[str]:
    return ["".join(text.itertext()) for text in svg.iter(f"{SVG}text")]


def lengths(svg: ET.Element) -> list[float]:
    rects = [rect for rect in svg.iter(f"{SVG}rect") if "bar" in rect.attrib["class"]]
    return [float(rect.attrib["width"]) for rect in rects]


def test_the_best_comes_first() -> None:
    """The longest bar where more is better, the shortest where less is."""
    slow, fast = bar("slow", 10.0), bar("fast", 20.0, ours=True)
    assert words(picture(slow, fast))[2::2][:2] == ["fast", "slow"]
    assert words(picture(slow, fast, least_is_best=True))[2::2][:2] == ["slow", "fast"]


def test_bars_are_as_long_as_their_figures() -> None:
    """Half the figure is half the bar: the scale begins at nothing."""
    longer, shorter = lengths(picture(bar("slow", 10.0), bar("fast", 20.0)))
    assert abs(longer - 2 * shorter) < 0.3


def test_words_are_escaped_and_ours_is_marked() -> None:
    """What a title says cannot break the picture."""
    svg = picture(bar("ours", 1.0, ours=True), bar("theirs", 2.0))
    assert words(svg)[0] == "a < b"
    marked = [rect.attrib["class"] for rect in svg.iter(f"{SVG}rect")]
    assert marked.count("bar ours") == 1
