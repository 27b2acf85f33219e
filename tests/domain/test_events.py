"""The names of events."""

from workhorse.domain.events import EVENT_NAMES, Life, Output
from workhorse.domain.transitions import Verb


def test_an_event_is_an_edge_an_output_or_a_life() -> None:
    """Every name there is, once; consumers of an export rely on them."""
    assert EVENT_NAMES == (
        "enqueue", "promote", "unblock", "claim", "complete", "retry", "snooze", "release", "fail",
        "cancel", "rescue", "requeue",
        "progress", "log",
        "worker_started", "worker_draining", "worker_stopped", "worker_lost", "child_died",
        "queue_paused", "queue_resumed", "job_deleted",
    )  # fmt: skip
    assert len(set(EVENT_NAMES)) == len(Verb) + len(Output) + len(Life)
