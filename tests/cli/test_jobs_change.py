"""`workhorse jobs cancel | requeue | delete`: by id, by ids on stdin, by filter."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Cli
from tests.store.hands import a_job_in, put, put_many, state, the
from workhorse.domain.job import State
from workhorse.store.protocol import Store

VERBS = {
    "cancel": (State.SCHEDULED, State.BLOCKED, State.AVAILABLE, State.RUNNING),
    "requeue": (State.FAILED, State.CANCELLED),
    "delete": (State.SUCCEEDED, State.FAILED, State.CANCELLED),
}


@pytest.mark.parametrize("start", State)
@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_and_a_state(cli: Cli, store: Store, verb: str, start: State) -> None:
    """Each verb takes the jobs it is for, and refuses the others with 6, unchanged."""
    job_id = a_job_in(start, store)
    ran = cli("jobs", verb, job_id, "--yes", "-o", "json")
    (row,) = ran.json
    if start not in VERBS[verb]:
        assert (ran.code, row["state"]) == (6, None)
        assert f"Error: Job {job_id} is {start}: " in ran.err
        assert state(store, job_id) is start
        return
    assert (ran.code, row["error"], ran.err) == (0, None, "")
    match verb:
        case "cancel" if start is State.RUNNING:
            assert (row["state"], the(store, job_id).cancel_requested) == ("running", True)
        case "cancel":
            assert row["state"] == state(store, job_id) == State.CANCELLED
        case "requeue":
            assert row["state"] == state(store, job_id) == State.AVAILABLE
        case _:
            assert (row["state"], store.get(job_id)) == ("deleted", None)


def test_one_that_refuses_does_not_stop_the_others(cli: Cli, store: Store) -> None:
    """Every job is tried; the exit code is that of the first refusal."""
    done, missing, waiting = a_job_in(State.SUCCEEDED, store), 999, put(store)
    ran = cli("jobs", "cancel", done, missing, waiting)
    assert ran.code == 6
    assert [line.split() for line in ran.out.splitlines()] == [
        ["ID", "STATE"],
        [str(done), "-"],
        ["999", "-"],
        [str(waiting), "cancelled"],
    ]
    assert len(ran.err.splitlines()) == 2
    assert state(store, waiting) is State.CANCELLED
    assert cli("jobs", "cancel", missing, done).code == 5


def test_ids_come_from_another_command(cli: Cli, store: Store) -> None:
    """`jobs list -o ids | jobs cancel -`: what one prints, the other reads."""
    put_many(store, 3, queue="old")
    kept = put(store)
    found = cli("jobs", "list", "--queue", "old", "-o", "ids")
    ran = cli("jobs", "cancel", "-", "-o", "ids", stdin=found.out)
    assert (ran.code, ran.out) == (0, found.out)
    assert state(store, kept) is State.AVAILABLE


def test_no_ids_on_stdin_change_nothing(cli: Cli, store: Store) -> None:
    """An empty list is no error."""
    ran = cli("jobs", "cancel", "-")
    assert (ran.code, ran.err) == (0, "No job fits.\n")


@pytest.mark.parametrize("word", ["seven", "-1", "1.5", "9" * 30, "\u0661"])
def test_what_is_no_id_is_refused(cli: Cli, store: Store, word: str) -> None:
    """Exit 2 before anything is changed."""
    job_id = put(store)
    ran = cli("jobs", "cancel", "-", stdin=f"{job_id} {word}")
    assert ran.code == 2
    assert "is not a job id." in ran.err
    assert state(store, job_id) is State.AVAILABLE


@pytest.mark.parametrize("verb", VERBS)
def test_in_bulk_by_filter(cli: Cli, store: Store, verb: str) -> None:
    """--all takes every job that fits the filters and that the verb is for, and no other."""
    # The available one last: the others are brought where they are through the same queue.
    states = sorted(State, key=lambda start: start is State.AVAILABLE)
    ids = {start: a_job_in(start, store, queue="bulk") for start in states}
    others = {start: a_job_in(start, store) for start in states}
    ran = cli("jobs", verb, "--all", "--queue", "bulk", "--yes", "-o", "ids")
    assert ran.code == 0
    assert set(ran.ids) == {ids[start] for start in VERBS[verb]}
    assert {start: state(store, job_id) for start, job_id in others.items()} == {
        start: start for start in states
    }


def test_more_than_a_page_in_bulk(cli: Cli, store: Store) -> None:
    """Thousands are as good as three."""
    put_many(store, 1001)
    ran = cli("jobs", "cancel", "--all", "--yes", "-o", "ids")
    assert len(ran.ids) == 1001
    assert len(cli("jobs", "requeue", "--all", "--yes", "-o", "ids").ids) == 1001


def test_a_held_key_is_told_in_bulk_too(cli: Cli, store: Store) -> None:
    """Those that refuse are named, as one by one; the others are available."""
    before, free, twice = put(store, unique="key"), put(store), put(store, unique="two")
    for job_id in (before, free, twice):
        store.cancel(job_id)
    again = put(store, unique="two")
    store.cancel(again)
    put(store, unique="key")
    ran = cli("jobs", "requeue", "--all", "--yes", "-o", "jsonl")
    assert ran.code == 6
    assert [state(store, job_id) for job_id in (before, free)] == ["cancelled", "available"]
    assert {state(store, twice), state(store, again)} == {"cancelled", "available"}
    assert f"Error: Another unfinished job holds the unique key of job {before}." in ran.err
    assert len(ran.err.splitlines()) == 2
    assert len(ran.out.splitlines()) == 4


def test_without_a_terminal_only_yes_is_an_agreement(cli: Cli, store: Store) -> None:
    """Many, or for good: it asks; where it cannot, exit 2 and nothing has changed."""
    ids = put_many(store, 2)
    ran = cli("jobs", "cancel", "--all")
    assert ran.code == 2
    assert ran.err.startswith("Error: Cancel 2 jobs? There is no terminal to ask on: add --yes.\n")
    assert [state(store, job_id) for job_id in ids] == [State.AVAILABLE] * 2
    done = a_job_in(State.FAILED, store)
    assert "Delete 1 job?" in cli("jobs", "delete", done).err
    assert state(store, done) is State.FAILED


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ([], "Give job ids, `-` for ids on stdin, or --all with filters."),
        (["1", "--all"], "Give job ids or --all, not both."),
        (["1", "--queue", "a"], "Filters go with --all, not with ids."),
        (
            ["--all", "--state", "succeeded"],
            "Cancel is for scheduled, blocked, available, running jobs, not succeeded ones.",
        ),
    ],
)
def test_a_selection_that_contradicts_itself(
    cli: Cli, store: Store, words: list[str], problem: str
) -> None:
    """Exit 2, before anything is changed."""
    job_id = put(store)
    ran = cli("jobs", "cancel", *words)
    assert ran.code == 2
    assert problem in ran.err
    assert state(store, job_id) is State.AVAILABLE


def test_the_reason_is_kept(cli: Cli, store: Store) -> None:
    """Who looks later sees why it was cancelled."""
    job_id = put(store)
    cli("jobs", "cancel", job_id, "--reason", "asked by the customer")
    assert "asked by the customer" in cli("jobs", "show", job_id).out
