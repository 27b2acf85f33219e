"""What handlers say, between them and the store: capped, thinned out, kept while it must wait."""

from __future__ import annotations

import json
import threading
from collections import Counter

import pytest

from workhorse.domain.events import Output, OutputLine
from workhorse.engine import output
from workhorse.engine.output import (
    BURST,
    BYTES_PER_ATTEMPT,
    PUT_BACK_LINES,
    TAIL_BYTES,
    TAIL_LINES,
    OutputBuffer,
)


class Ear:
    """Counts how often it was told that there is something to take."""

    def __init__(self) -> None:
        self.told = 0

    def __call__(self) -> None:
        self.told += 1


@pytest.fixture
def ear() -> Ear:
    return Ear()


@pytest.fixture
def buffer(ear: Ear) -> OutputBuffer:
    buffer = OutputBuffer(ear)
    for job in range(4):
        buffer.begin(job, 1)
    return buffer


class Time:
    """The local clock, standing still until it is moved."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    time = Time()
    monkeypatch.setattr(output, "now", time)
    return time


def message(line: OutputLine) -> str:
    return str(json.loads(line.data)["message"])


def say(buffer: OutputBuffer, text: str = "x", job: int = 1) -> None:
    buffer.emit(job, 1, Output.LOG, json.dumps({"message": text}))


def progress(buffer: OutputBuffer, percent: int, job: int = 1) -> None:
    buffer.emit(job, 1, Output.PROGRESS, f'{{"percent":{percent}}}')


def told(lines: list[OutputLine]) -> list[str | int]:
    """Return the messages of log lines and the percents of progress, in their order."""
    data = [json.loads(line.data) for line in lines]
    return [one["percent"] if "percent" in one else one["message"] for one in data]


def test_lines_come_out_in_order_once(buffer: OutputBuffer, ear: Ear) -> None:
    """What was said, progress too, is taken in its order; then nothing is left."""
    assert not buffer
    assert buffer.take() == []
    for n in range(3):
        say(buffer, str(n))
        progress(buffer, n)
    progress(buffer, 9, job=2)
    assert buffer
    assert told(buffer.take()) == ["0", 0, "1", 1, "2", 2, 9]
    assert not buffer
    assert ear.told == 1, "one wake-up for all that waits"
    say(buffer)
    assert ear.told == 2


def test_of_progress_in_a_row_the_latest_is_kept(buffer: OutputBuffer) -> None:
    """A loop of progress is one line per take, whatever other jobs say in between."""
    say(buffer, "before")
    for n in range(10_000):
        progress(buffer, n % 101)
        progress(buffer, 7, job=2)
        say(buffer, "neighbour", job=3)
    progress(buffer, 100)
    say(buffer, "behind")
    mine = [line for line in buffer.take() if line.job_id < 3]
    assert told(mine) == ["before", 100, 7, "behind"]
    progress(buffer, 50)
    assert told(buffer.take()) == [50]


def test_progress_between_lines_cannot_flood(buffer: OutputBuffer, time: Time) -> None:
    """With lines between, progress counts as they do; past that the latest is kept, in order."""
    for n in range(BURST):
        say(buffer, str(n))
        progress(buffer, n % 101)
    progress(buffer, 77)
    lines = buffer.take()
    assert len(lines) <= BURST + 1
    assert told(lines[:4]) == ["0", 0, "1", 1]
    assert told(lines)[-1] == 77, "where the job stands is never shut out"
    time.now += 0.01  # room for five lines
    for n in range(20):
        progress(buffer, n)
        say(buffer, "late")
    kept = told(buffer.take())
    assert kept[-1] == 19
    assert len(kept) <= 7


def test_progress_between_lines_counts_its_bytes(buffer: OutputBuffer) -> None:
    """Progress with long messages cannot take more room than an attempt may write."""
    for n in range(200):
        say(buffer, "x")
        data = json.dumps({"percent": n % 101, "message": "y" * 16_000})
        buffer.emit(1, 1, Output.PROGRESS, data)
    lines = buffer.take()
    assert sum(len(line.data) for line in lines) <= BYTES_PER_ATTEMPT + 17_000
    assert told(lines)[-1] == 199 - 101


def test_too_many_lines_are_counted_not_kept(buffer: OutputBuffer, time: Time) -> None:
    """A flood is thinned out, how much went is told, and a neighbour has its own allowance."""
    for n in range(BURST + 500):
        say(buffer, str(n))
    say(buffer, "quiet", job=2)
    assert Counter(line.job_id for line in buffer.take()) == {1: BURST, 2: 1}
    time.now += 1
    say(buffer, "again")
    last = [str(n) for n in range(BURST + 400, BURST + 500)]
    assert told(buffer.take()) == [
        "400 lines were dropped: over 500 lines a second",
        *last,
        "again",
    ]


def test_silence_saves_up_no_more_than_a_burst(buffer: OutputBuffer, time: Time) -> None:
    """An attempt that was silent for an hour may not say an hour's lines at once."""
    say(buffer)
    time.now += 3600
    for _ in range(BURST + 500):
        say(buffer)
    assert len(buffer.take()) == 1 + BURST


def test_the_last_of_a_flood_is_told_when_the_attempt_is_over(
    buffer: OutputBuffer, time: Time
) -> None:
    """Its very last lines are what it ends with: there stands why it has failed."""
    for n in range(BURST + 10_000):
        say(buffer, str(n))
        if n % 1000 == 0:
            time.now += 0.004  # room for two lines, here and there
    flood = told(buffer.take())
    assert len(flood) < BURST + 40
    buffer.forget(1, 1)
    dropped, *last = told(buffer.take())
    assert "lines were dropped: over 500 lines a second" in str(dropped)
    assert last == [str(n) for n in range(BURST + 10_000)][-TAIL_LINES:]
    counts = [str(one).split()[0] for one in [*flood, dropped] if "dropped" in str(one)]
    said = len(flood) - len(counts) + 1 + TAIL_LINES
    assert said + sum(map(int, counts)) == BURST + 10_000


def test_the_rest_of_a_burst_comes_while_its_attempt_is_silent(
    buffer: OutputBuffer, ear: Ear, time: Time
) -> None:
    """As fast as it might have been said; who follows it does not wait for the next line."""
    for n in range(BURST + 60):
        say(buffer, str(n))
    assert len(buffer.take()) == BURST
    told_before = ear.told
    buffer.catch_up()
    assert ear.told == told_before
    for _ in range(2):
        time.now += 0.1
        buffer.catch_up()
    assert told(buffer.take()) == [str(n) for n in range(BURST, BURST + 60)]
    assert ear.told == told_before + 1


def test_an_attempt_that_is_over_says_no_more(buffer: OutputBuffer, ear: Ear) -> None:
    """What a thread it has left behind still says is kept nowhere, nor is a count of it."""
    say(buffer, "last")
    buffer.forget(1, 1)
    say(buffer, "late")
    progress(buffer, 100)
    buffer.emit_lines(1, 1, [b"late"], str)
    assert told(buffer.take()) == ["last"]
    say(buffer, "late")
    assert not buffer
    assert ear.told == 1


def test_too_many_bytes_are_cut_off(buffer: OutputBuffer) -> None:
    """Past the bytes an attempt may write there is one word about it, and in the end its last."""
    for n in range(200):
        say(buffer, f"{n} " + "x" * 16_000)
    lines = buffer.take()
    assert "only the last is kept" in message(lines[-1])
    kept = len(lines) - 1
    buffer.forget(1, 1)
    lines += (last := buffer.take())
    assert sum(len(line.data) for line in lines) <= BYTES_PER_ATTEMPT
    assert sum("only the last is kept" in message(line) for line in lines) == 1
    numbers = [message(line).split()[0] for line in last]
    assert numbers[1:] == ["196", "197", "198", "199"]
    dropped = 200 - kept - 4
    assert message(last[0]) == f"{dropped} lines were dropped: over 1048576 bytes of output"


def test_progress_is_never_shut_out(buffer: OutputBuffer) -> None:
    """An attempt that has written too much can still say how far it is."""
    for _ in range(200):
        say(buffer, "x" * 16_000)
    buffer.take()
    buffer.emit(1, 1, Output.PROGRESS, '{"percent":77}')
    assert [line.name for line in buffer.take()] == [Output.PROGRESS]


def test_what_the_store_did_not_take_comes_first_next_time(buffer: OutputBuffer) -> None:
    """Lines wait for a store out of reach, in their order, and not without bound."""
    say(buffer, "first")
    waiting = buffer.take()
    say(buffer, "second")
    buffer.put_back(waiting)
    assert [message(line) for line in buffer.take()] == ["first", "second"]
    many = [OutputLine(1, 1, Output.LOG, "{}")] * PUT_BACK_LINES
    say(buffer, "one too many")
    buffer.put_back(many)
    assert buffer.take() == many


def test_handlers_may_talk_from_any_thread(buffer: OutputBuffer, ear: Ear) -> None:
    """Lines of many threads all arrive, each thread's in its order."""

    def talk(job: int) -> None:
        for n in range(400):
            say(buffer, str(n), job=job)

    threads = [threading.Thread(target=talk, args=(job,)) for job in range(4)]
    for thread in threads:
        thread.start()
    taken: list[OutputLine] = []
    while any(thread.is_alive() for thread in threads):
        taken += buffer.take()
    taken += buffer.take()
    for job in range(4):
        assert [message(line) for line in taken if line.job_id == job] == [
            str(n) for n in range(400)
        ]
    assert ear.told >= 1


def test_many_lines_at_once_cost_nothing_when_dropped(buffer: OutputBuffer, time: Time) -> None:
    """Of lines that come by the thousand only those that are kept are made JSON of."""
    made: list[int] = []

    def to_json(n: bytes) -> str:
        made.append(int(n))
        return json.dumps({"message": n.decode()})

    def numbers(*among: int) -> list[bytes]:
        return [str(n).encode() for n in range(*among)]

    buffer.emit_lines(1, 1, numbers(BURST + 500), to_json)
    buffer.emit_lines(1, 1, numbers(9000, 9060), to_json)
    assert made == list(range(BURST))
    assert [message(line) for line in buffer.take()] == [str(n) for n in range(BURST)]
    time.now += 0.1
    buffer.emit_lines(1, 1, numbers(10_000), to_json)
    kept = [message(line) for line in buffer.take()]
    buffer.forget(1, 1)
    last = [message(line) for line in buffer.take()]
    assert made[BURST:] == [int(line) for line in kept[1:] + last[1:]]
    assert kept[0] == "460 lines were dropped: over 500 lines a second"
    assert len(kept[1:]) == 50
    assert last[0] == "9950 lines were dropped: over 500 lines a second"
    assert last[1:] == [str(n) for n in range(9900, 10_000)]
    assert len(kept) + len(last) - 2 + 460 + 9950 == 560 + 10_000


def test_what_is_held_is_bounded(buffer: OutputBuffer) -> None:
    """A flood of long lines, as of short ones, keeps no more in memory than its tail."""
    buffer.emit_lines(1, 1, [b"x" * 10_000] * 1000, lambda line: f'"{line.decode()}"')
    buffer.take()
    buffer.forget(1, 1)
    assert TAIL_BYTES - 10_000 < sum(len(line.data) for line in buffer.take()) <= TAIL_BYTES + 100


def test_what_is_held_is_measured_as_it_is_kept(buffer: OutputBuffer) -> None:
    """What JSON writes longer, control characters say, counts as long as it is written."""
    buffer.emit_lines(1, 1, ["\x01" * 1000] * 500, json.dumps)
    said = buffer.take()
    assert sum(len(line.data) for line in said) > BYTES_PER_ATTEMPT - TAIL_BYTES - 6100
    buffer.forget(1, 1)
    dropped, *last = buffer.take()
    assert TAIL_BYTES - 6100 < sum(len(line.data) for line in last) <= TAIL_BYTES
    told = "output is over 1048576 bytes: of the rest only the last is kept"
    assert message(said[-1]) == told
    count = 500 - (len(said) - 1) - len(last)
    assert message(dropped) == f"{count} lines were dropped: over 1048576 bytes of output"
