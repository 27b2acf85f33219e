"""How the bench judges what it measured: spreads, ratios paired by round, floors."""

from __future__ import annotations

import pytest

from bench.floors import FLOORS, Floor, compared, grown, judge, last_by_first, plain, values
from bench.peers import PEERS, US
from bench.report import pairs
from bench.rounds import Cell, rotated
from bench.scenarios import SCENARIOS
from bench.spread import Spread, number, ratio, spread


def rates(scenario: str, peer: str, *found: float, store: str = "empty") -> list[Cell]:
    return [
        Cell(scenario, peer, turn, {"per_second": rate}, 0.0, store)
        for turn, rate in enumerate(found)
    ]


def test_a_spread_is_median_lowest_and_highest() -> None:
    """The median stands for the rounds; the outliers are told, not averaged in."""
    assert spread([3.0, 100.0, 1.0]) == Spread(3.0, 1.0, 100.0)
    assert spread([]) is None


def test_a_ratio_is_taken_within_each_round() -> None:
    """A slow minute of the machine that hits both in one round leaves the ratio alone."""
    assert ratio([100.0, 10.0, 100.0], [50.0, 5.0, 50.0]) == Spread(2.0, 2.0, 2.0)


@pytest.mark.parametrize(
    ("value", "text"), [(0.123, "0.12"), (9.99, "9.99"), (12.34, "12.3"), (45_678.9, "45,679")]
)
def test_a_figure_has_the_digits_it_is_worth(value: float, text: str) -> None:
    """Neither more digits than the noise allows, nor fewer than a comparison needs."""
    assert number(value) == text


def test_figures_are_found_by_scenario_peer_and_store_in_the_order_of_rounds() -> None:
    """Cells of other scenarios, peers and stores are not mixed in."""
    cells = [
        *reversed(rates("drain", "ours", 1.0, 2.0)),
        *rates("drain", "theirs", 3.0),
        *rates("bulk", "ours", 4.0),
        *rates("drain", "ours", 5.0, store="history"),
    ]
    assert values(cells, "drain", "ours", "per_second") == [1.0, 2.0]
    assert plain("drain", "ours", "per_second", cells, "history") == Spread(5.0, 5.0, 5.0)


def test_compared_grown_and_last_by_first() -> None:
    """The three kinds of ratio there are."""
    cells = [
        *rates("drain", "ours", 60.0, 80.0),
        *rates("drain", "theirs", 10.0, 10.0),
        *rates("scale", "ours", 100.0),
        *rates("scale", "ours", 90.0, store="history"),
        *rates("in_a_row", "ours", 50.0, 10.0, 45.0),
    ]
    assert compared("drain", "ours", "theirs", "per_second", cells) == Spread(7.0, 6.0, 8.0)
    assert grown("ours", "history", cells) == Spread(0.9, 0.9, 0.9)
    assert last_by_first("ours", cells) == Spread(0.9, 0.9, 0.9)


def test_a_floor_is_met_at_its_bound_and_a_ceiling_too() -> None:
    """The median is judged, and what was not measured does not hold."""
    floor = Floor("rate", 6.0, "×", lambda _: None)
    ceiling = Floor("wait", 2.0, "ms", lambda _: None, at_most=True)
    assert floor.holds(Spread(6.0, 1.0, 9.0))
    assert not floor.holds(Spread(5.9, 1.0, 9.0))
    assert ceiling.holds(Spread(2.0, 1.0, 9.0))
    assert not ceiling.holds(Spread(2.1, 1.0, 9.0))
    assert not floor.holds(None)
    assert floor.verdict(None) == "?      rate ≥ 6 ×: not measured"
    assert ceiling.verdict(Spread(2.1, 1.0, 9.0)) == "SHORT  wait ≤ 2 ms: 2.10 (1.00–9.00)"


def test_every_floor_names_a_peer_and_a_figure_that_exist() -> None:
    """A whole run's figures leave no floor unjudged; an empty run leaves every one short."""
    figures = ("per_second", "cpu_ms_per_1000", "rss_mib", "p50", "p99")
    everything = dict.fromkeys(figures, 1.0)
    cells = [
        Cell(scenario, peer, 0, everything, 0.0, store)
        for scenario in (*(each.name for each in SCENARIOS), "scale", "in_a_row", "snapshot")
        for peer in PEERS
        for store in ("empty", "history", "backlog", "snapshot")
    ]
    floors = [floor for floors in FLOORS.values() for floor in floors]
    assert all(floor.figure(cells) is not None for floor in floors)
    assert judge([])[1] == [floor.name for floor in floors]


def test_only_the_stores_asked_for_are_judged() -> None:
    """A run on SQLite owes nothing on PostgreSQL; one on Redis has no floors of its own."""
    assert judge([], ["sqlite"])[1] == [floor.name for floor in FLOORS["sqlite"]]
    assert judge([], ["redis"]) == ([], [])


def test_only_the_like_are_compared() -> None:
    """The same store and durability; none beside our weakest; Redis beside our PostgreSQL."""
    found = {(ours.name, theirs.name) for ours, theirs in pairs(list(PEERS.values()))}
    assert (US.name, "huey-full") in found
    assert ("workhorse-normal", "huey-off") in found
    assert (US.name, "huey-normal") not in found
    assert ("workhorse-pg", "pgqueuer-1000") in found
    assert ("workhorse-pg", "arq") in found
    assert (US.name, "pgqueuer-1000") not in found
    assert (US.name, "arq") not in found


def test_each_round_begins_with_another_peer() -> None:
    """Whoever comes first in one round, after a pause, comes later in the next."""
    assert [rotated("abc", turn) for turn in range(4)] == [
        ["a", "b", "c"],
        ["b", "c", "a"],
        ["c", "a", "b"],
        ["a", "b", "c"],
    ]
    assert rotated([], 3) == []
