"""The twelve edges, as data."""

from workhorse.domain.job import FINAL, UNFINISHED, State
from workhorse.domain.transitions import EDGES, Verb


def test_there_are_seven_states_and_three_are_final() -> None:
    """A job is in one of seven states; a final one is not unfinished."""
    assert [str(state) for state in State] == [
        "scheduled", "blocked", "available", "running", "succeeded", "failed", "cancelled",
    ]  # fmt: skip
    assert set(UNFINISHED) | set(FINAL) == set(State)
    assert not set(UNFINISHED) & set(FINAL)


def test_there_are_twelve_edges_each_under_its_own_verb() -> None:
    """One verb per edge, and the words are those of the design."""
    assert [str(verb) for verb in EDGES] == [
        "enqueue", "promote", "unblock", "claim", "complete", "retry", "snooze", "release", "fail",
        "cancel", "rescue", "requeue",
    ]  # fmt: skip
    assert all(edge.verb is verb for verb, edge in EDGES.items())


def test_only_an_operator_leads_out_of_a_final_state() -> None:
    """Nothing but `requeue` leaves a final state, and nothing at all leaves `succeeded`."""
    leaving = {
        verb: set(edge.sources) & set(FINAL)
        for verb, edge in EDGES.items()
        if set(edge.sources) & set(FINAL)
    }
    assert leaving == {Verb.REQUEUE: {State.FAILED, State.CANCELLED}}


def test_a_job_becomes_running_by_a_claim_alone() -> None:
    """Only `claim` starts an attempt, and only from `available`."""
    starting = [verb for verb, edge in EDGES.items() if State.RUNNING in edge.targets]
    assert starting == [Verb.CLAIM]
    assert EDGES[Verb.CLAIM].sources == (State.AVAILABLE,)


def test_every_state_is_reached_and_every_unfinished_one_is_left() -> None:
    """No state is a trap, and none is out of reach."""
    assert {target for edge in EDGES.values() for target in edge.targets} == set(State)
    assert {source for edge in EDGES.values() for source in edge.sources} >= set(UNFINISHED)


def test_every_unfinished_job_can_be_cancelled() -> None:
    """`cancel` leaves every unfinished state, and reaches only `cancelled`."""
    assert EDGES[Verb.CANCEL].sources == UNFINISHED
    assert EDGES[Verb.CANCEL].targets == (State.CANCELLED,)
