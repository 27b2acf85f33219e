"""What a running handler says: kept as an ordered stream, while the attempt is its worker's."""

from __future__ import annotations

import json

import pytest

from tests.store.hands import (
    ALL,
    ERROR,
    OK,
    SettableClock,
    Worker,
    nothing_changed,
    put,
    settled,
    the,
)
from tests.store.test_enqueue import TEXTS
from workhorse.domain.events import Output, OutputLine
from workhorse.domain.job import Claimed
from workhorse.domain.outcome import Released
from workhorse.store.protocol import Store


def log(job: Claimed, message: str) -> OutputLine:
    data = json.dumps({"message": message, "stream": "log"}, ensure_ascii=False)
    return OutputLine(job.id, job.attempt, Output.LOG, data)


def progress(job: Claimed, percent: int, message: str = "") -> OutputLine:
    data = json.dumps({"percent": percent, "message": message}, ensure_ascii=False)
    return OutputLine(job.id, job.attempt, Output.PROGRESS, data)


def said(store: Store, job_id: int) -> list[object]:
    return [
        event.data.get("percent", event.data["message"])
        for event in store.events(job_id=job_id, limit=ALL)
        if event.name in set(Output)
    ]


def test_lines_are_kept_in_their_order(store: Store, clock: SettableClock) -> None:
    """As they were handed over, within a turn and from turn to turn, beside their attempt."""
    put(store), put(store)
    worker = Worker(store)
    first, second = worker.claim()
    clock.advance(1)
    worker.turn(output=[log(second, "s1"), log(first, "f1"), progress(first, 5), log(first, "f2")])
    worker.turn(output=[log(first, "f3")])
    assert said(store, first.id) == ["f1", 5, "f2", "f3"]
    assert said(store, second.id) == ["s1"]
    line = store.events(job_id=second.id)[-1]
    assert (line.name, line.attempt, line.worker, line.at) == ("log", 1, worker.id, clock.now)
    assert line.data == {"message": "s1", "stream": "log"}


def test_a_thousand_lines_of_one_turn(store: Store) -> None:
    """A turn takes as many as there are, all in order."""
    put(store)
    worker = Worker(store)
    job = worker.take()
    worker.turn(output=[log(job, str(number)) for number in range(1000)])
    assert said(store, job.id) == [str(number) for number in range(1000)]


def test_the_latest_progress_is_the_job_s(store: Store) -> None:
    """The job shows the last word on its progress; every word is in the stream."""
    job_id = put(store)
    worker = Worker(store)
    job = worker.take()
    worker.turn(output=[progress(job, 10, "begun"), progress(job, 60, "more"), log(job, "x")])
    assert (the(store, job_id).progress, the(store, job_id).message) == (60, "more")
    worker.turn(output=[progress(job, 30, "back")])
    assert (the(store, job_id).progress, the(store, job_id).message) == (30, "back")
    worker.settle(job, OK)
    assert (the(store, job_id).progress, the(store, job_id).message) == (30, "back")
    assert said(store, job_id) == [10, 60, "x", 30]


def test_a_new_attempt_has_made_no_progress(store: Store) -> None:
    """The next attempt begins at nothing; what the first said is still in the stream."""
    job_id = put(store)
    worker = Worker(store)
    job = worker.take()
    worker.turn(output=[progress(job, 80, "nearly")])
    worker.settle(job, Released("drained"))
    again = worker.take()
    assert (the(store, job_id).progress, the(store, job_id).message) == (None, None)
    worker.turn(output=[progress(job, 99, "late")])
    assert (the(store, job_id).progress, the(store, job_id).message) == (None, None)
    worker.turn(output=[progress(job, 99), progress(again, 1)])
    assert the(store, job_id).progress == 1
    assert said(store, job_id) == [80, 1]


def test_last_words_come_before_the_end(store: Store) -> None:
    """Lines handed over in the turn that ends their attempt are kept, and stand before the end."""
    put(store)
    worker = Worker(store)
    job = worker.take()
    worker.turn([settled(job, ERROR)], output=[log(job, "last words")])
    names = [event.name for event in store.events(job_id=job.id)]
    assert names == ["enqueue", "claim", "log", "retry"]


def test_words_after_the_end_are_dropped(store: Store) -> None:
    """An attempt that has ended says nothing more, and neither does a stranger."""
    put(store), put(store)
    worker, stranger = Worker(store), Worker(store)
    ended, running = worker.claim()
    worker.settle(ended, OK)
    with nothing_changed(store):
        worker.turn(output=[log(ended, "late"), progress(ended, 100)])
        stranger.turn(output=[log(running, "not mine"), progress(running, 100)])
    worker.turn(output=[log(ended, "late"), log(running, "mine")])
    assert said(store, running.id) == ["mine"]


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_hostile_words_come_back_as_they_were_said(store: Store, text: str) -> None:
    """Whatever text a line or a message holds, it is kept, and the job goes on to its end."""
    job_id = put(store)
    worker = Worker(store)
    job = worker.take()
    worker.turn(output=[log(job, text), progress(job, 1, text)])
    events = store.events(job_id=job_id)[-2:]
    assert [event.data["message"] for event in events] == [text, text]
    assert the(store, job_id).message == text
    assert worker.settle(job, OK) == []


def test_escaped_text_of_a_line_is_cleanly_kept(store: Store) -> None:
    """A line whose JSON escapes NUL does not stop the stream."""
    put(store)
    worker = Worker(store)
    job = worker.take()
    lines = [r'{"message":"a\u0000b","stream":"log"}', r'{"message":"after","stream":"log"}']
    worker.turn(output=[OutputLine(job.id, 1, Output.LOG, line) for line in lines])
    assert said(store, job.id) == ["a\0b", "after"]
