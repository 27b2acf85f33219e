"""docs/state-machine.md says what the code says."""

import re
from pathlib import Path

from workhorse.domain.job import State
from workhorse.domain.transitions import EDGES

PAGE = (Path(__file__).parents[2] / "docs" / "state-machine.md").read_text()


def _states(cell: str) -> set[State]:
    return {State(name) for name in re.findall(r"\w+", cell)}


def test_the_table_of_edges_is_the_one_in_the_code() -> None:
    """Every verb is in the table, with the states it leaves and reaches."""
    section = PAGE.partition("## The twelve edges")[2].partition("## ")[0]
    rows = re.findall(r"^\| (\w+) \| (.+?) \| (.+?) \|", section, flags=re.MULTILINE)
    shown = {verb: (_states(source), _states(target)) for verb, source, target in rows[1:]}
    assert shown == {
        str(verb): (set(edge.sources), set(edge.targets)) for verb, edge in EDGES.items()
    }


def test_the_drawing_has_every_edge() -> None:
    """Every verb of every pair of states stands in the diagram, and no other."""
    drawn = set()
    for source, target, label in re.findall(r"^    (\S+) --> (\S+): (.+)$", PAGE, re.MULTILINE):
        for verb in label.split(", "):
            if verb in EDGES:
                drawn.add((verb, source, target))
    expected = {
        (str(verb), str(source), str(target))
        for verb, edge in EDGES.items()
        for source in edge.sources or ("[*]",)
        for target in edge.targets
    }
    assert drawn == expected
