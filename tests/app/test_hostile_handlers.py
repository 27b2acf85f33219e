"""Nothing a handler returns, raises or says can wedge its job: it ends, and reads back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.app import hostile
from tests.app.helpers import nested, odd_text, odd_values
from workhorse import Context, Handle, InvalidJob, Job, JobFailed, Outcome, Reject, Snooze, State
from workhorse import Workhorse as App
from workhorse.codec import RESULT_LIMIT
from workhorse.failure import TRACEBACK_LIMIT
from workhorse.store.protocol import JobFilter
from workhorse.text import MESSAGE_LIMIT, NAME_LIMIT


class Stage:
    """An inline app with one kind that does what it is told: `play` runs one act."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.act: Callable[[Context], Any] = lambda ctx: None

        @app.job(retry=1)
        def play(ctx: Context) -> object:
            return self.act(ctx)

        self.kind = play

    def play(self, act: Callable[[Context], Any]) -> Handle[Any]:
        """Run one job that does `act`; return its handle, with everything of it read back."""
        self.act = act
        handle = self.kind.enqueue()
        self.read_back(handle)
        return handle

    def read_back(self, handle: Handle[Any]) -> None:
        """Read all that the store keeps of a job; whatever cannot be read or encoded raises."""
        store = self.app.store
        read = [
            handle.refresh().job,
            *store.list_jobs(JobFilter(ids=[handle.id])),
            *store.attempts(handle.id),
            *handle.events(),
        ]
        assert len(read) > 3
        for one in read:
            repr(one).encode()
            json.dumps(getattr(one, "error", None), allow_nan=False).encode()
            json.dumps(getattr(one, "data", None), allow_nan=False, ensure_ascii=False).encode()
        handle.explain().encode()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One app for the whole module: no job may spoil it for the next."""
    folder: Path = tmp_path_factory.mktemp("stage")
    app = App(f"sqlite:///{folder / 'jobs.db'}?durability=normal", inline=True)
    yield Stage(app)
    app.close()


def error_of(job: Job) -> dict[str, Any]:
    assert job.error is not None
    return dict(job.error)


# ── results ─────────────────────────────────────────────────────────────────────────────────


CLEANED: list[tuple[str, Any, Any]] = [
    ("NUL", "a\0b", "a\ufffdb"),
    ("lone surrogate", {"a": ["\ud800"]}, {"a": ["\ufffd"]}),
    ("odd keys", {"a\0": 1, "\udfff": 2}, {"a\ufffd": 1, "\ufffd": 2}),
    ("inside a dataclass", hostile.Box("\ud800\0"), {"content": "\ufffd\ufffd"}),
    ("numbers as keys", {1: "a", None: "b"}, {"1": "a", "None": "b"}),
    ("escapes in text", "\\u0000 NaN Infinity", "\\u0000 NaN Infinity"),
    ("not UTF-8 bytes", b"\xff\0", "_wA="),
]


@pytest.mark.parametrize(("value", "kept"), [c[1:] for c in CLEANED], ids=[c[0] for c in CLEANED])
def test_odd_text_in_a_result_is_cleaned(stage: Stage, value: Any, kept: Any) -> None:
    """The work was done: its result is kept, with U+FFFD for what a database cannot hold."""
    assert stage.play(lambda ctx: value).result() == kept


REFUSED: list[tuple[str, Any, str]] = [
    ("NaN", {"a": float("nan")}, "result.a is nan"),
    ("infinity", [float("inf")], "result[0] is inf"),
    ("digits", {"n": 10**5000}, "result.n is an integer of over 1,000 digits"),
    ("depth", nested(1000), "nested deeper than 64"),
    ("cycle", hostile.cycle(), "nested deeper than 64 levels, or holds itself"),
    ("function", [len], "Unable to serialize unknown type"),
    ("object", object(), "Unable to serialize unknown type"),
    ("silent object", hostile.Silent(), "Unable to serialize unknown type"),
    ("too large", "x" * RESULT_LIMIT, "1,048,578 bytes as JSON; the limit is 1,048,576"),
]


@pytest.mark.parametrize(("value", "told"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED])
def test_a_result_that_json_cannot_hold_fails_the_job_at_once(
    stage: Stage, value: Any, told: str
) -> None:
    """The job fails with the reason, and is not run again for it."""
    handle = stage.play(lambda ctx: value)
    assert handle.state is State.FAILED
    assert handle.job.outcome is Outcome.ERROR
    assert told in error_of(handle.job)["message"]


def test_a_result_that_cannot_be_encoded_is_not_worth_another_attempt(inline: App) -> None:
    """However large the budget: no attempt would change what the handler returns."""
    runs: list[int] = []

    @inline.job(retry=5)
    def work() -> object:
        runs.append(1)
        return object()

    assert work.enqueue().state is State.FAILED
    assert runs == [1]


def test_a_result_whose_encoding_raises_fails_the_job(stage: Stage) -> None:
    """A model's own serializer may raise anything."""
    handle = stage.play(lambda ctx: hostile.Lying())
    assert handle.state is State.FAILED
    assert "cannot be JSON" in error_of(handle.job)["message"]


@given(value=odd_values)
def test_any_result_ends_the_job(stage: Stage, value: Any) -> None:
    """Plain data of any oddness: kept, cleaned, or refused with a reason; the job has ended."""
    handle = stage.play(lambda ctx: value)
    assert handle.state in {State.SUCCEEDED, State.FAILED}
    if handle.state is State.SUCCEEDED:
        json.dumps(handle.result(), ensure_ascii=False, allow_nan=False).encode()
    else:
        assert error_of(handle.job)["type"] == "workhorse.domain.errors.InvalidJob"


def test_a_coroutine_that_nobody_awaits_is_no_result(stage: Stage) -> None:
    """What a plain wrapper around an async function returns: the work was never done."""

    async def work() -> None: ...

    handle = stage.play(lambda ctx: work())
    assert handle.state is State.FAILED
    assert "work, that nobody has awaited" in error_of(handle.job)["message"]


# ── exceptions ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "make", [h[1] for h in hostile.EXCEPTIONS], ids=[h[0] for h in hostile.EXCEPTIONS]
)
def test_a_hostile_exception_is_only_an_exception(
    stage: Stage, make: Callable[[], BaseException]
) -> None:
    """The job fails, and what is kept of its error is clean, cut to size and can be read."""
    error = make()

    def act(ctx: Context) -> None:
        raise error

    handle = stage.play(act)
    assert handle.state is State.FAILED
    kept = error_of(handle.job)
    assert len(kept["type"].encode()) <= NAME_LIMIT
    assert len(kept["message"].encode()) <= MESSAGE_LIMIT
    assert len(kept.get("traceback", "").encode()) <= TRACEBACK_LIMIT
    for text in kept.values():
        assert "\0" not in text
    with pytest.raises(JobFailed):
        handle.result()


def test_a_recursion_is_only_an_exception(stage: Stage) -> None:
    """A handler that calls itself for ever fails like any other."""
    handle = stage.play(lambda ctx: hostile.endless())
    assert error_of(handle.job)["type"] == "RecursionError"


def test_running_out_of_memory_is_told_apart(stage: Stage) -> None:
    """`MemoryError` has an outcome of its own."""

    def act(ctx: Context) -> None:
        raise MemoryError

    assert stage.play(act).job.outcome is Outcome.OUT_OF_MEMORY


@given(text=odd_text, reason=odd_text, how=st.sampled_from(["raise", "reject", "snooze"]))
def test_any_exception_message_ends_the_attempt(
    stage: Stage, text: str, reason: str, how: str
) -> None:
    """Whatever is in the message, the reason or the name of the type: it is kept, cleaned."""
    name = type("Odd", (Exception,), {"__qualname__": text[:20] or "Odd", "__module__": reason})

    def act(ctx: Context) -> None:
        if how == "reject":
            raise Reject(reason)
        if how == "snooze":
            raise Snooze(60, reason)
        raise name(text) from ValueError(reason)

    handle = stage.play(act)
    expected = {"raise": State.FAILED, "reject": State.FAILED, "snooze": State.SCHEDULED}
    assert handle.state is expected[how]


def test_a_traceback_starts_at_the_handler(stage: Stage) -> None:
    """The machinery above the handler is left out, and so are local variables."""

    def act(ctx: Context) -> None:
        secret = "hunter2"  # noqa: F841 - it is the point
        raise ValueError("no")

    traceback = error_of(stage.play(act).job)["traceback"]
    assert "raise ValueError" in traceback
    assert "/workhorse/" not in traceback.replace(__file__, "")
    assert "hunter2" not in traceback.replace('secret = "hunter2"', "")


# ── output ──────────────────────────────────────────────────────────────────────────────────


@given(message=odd_text, name=odd_text, value=odd_values, percent=st.floats() | st.integers())
def test_anything_can_be_said(
    stage: Stage, message: str, name: str, value: Any, percent: float
) -> None:
    """A line of log or progress is cleaned, never refused: it cannot hurt its job."""

    def act(ctx: Context) -> None:
        ctx.log(message, **{name: value, "message": value})
        ctx.progress(percent, message)

    handle = stage.play(act)
    assert handle.state is State.SUCCEEDED
    said = {event.name: event.data for event in handle.events()}
    assert said["log"]["stream"] == "log"
    assert 0 <= said["progress"]["percent"] <= 100


def test_a_line_is_cut_to_size(stage: Stage) -> None:
    """However much is said at once, a line has at most 16 KiB, and says that it was cut."""
    fields = {f"field_{number}": "x" * 5000 for number in range(100)}
    handle = stage.play(lambda ctx: ctx.log("m" * 100_000, **fields))
    (line,) = [event.data for event in handle.events() if event.name == "log"]
    assert len(json.dumps(line, ensure_ascii=False).encode()) <= 16 * 1024
    assert line["cut"] == "true"
    assert line["message"].endswith("…")


def test_a_field_may_be_anything(stage: Stage) -> None:
    """What JSON does not know is written as text; what cannot even say its name is named."""
    handle = stage.play(lambda ctx: ctx.log("x", size=3, silent=hostile.Silent(), path=Path("/a")))
    (line,) = [event.data for event in handle.events() if event.name == "log"]
    assert line["size"] in {3, "3"}
    assert line["path"] == "/a"
    assert "Silent" in line["silent"]


def test_a_field_takes_the_place_of_nothing(stage: Stage) -> None:
    """One of a name that the line itself has gets an underscore: neither is lost or forged."""
    fields = {"message": "forged", "stream": "stdout", "percent": 50}
    handle = stage.play(lambda ctx: ctx.log("real", **fields))
    (line,) = [event.data for event in handle.events() if event.name == "log"]
    assert line == {
        "message": "real",
        "stream": "log",
        "message_": "forged",
        "stream_": "stdout",
        "percent_": 50,
    }


# ── what arrives ────────────────────────────────────────────────────────────────────────────


@given(value=odd_values)
def test_any_argument_arrives_as_it_was_or_is_refused(stage: Stage, value: Any) -> None:
    """The handler sees exactly what was enqueued, or nothing is stored at all."""
    before = stage.app.store.counts()
    seen: list[Any] = []
    kind = stage.app._kinds.get("take")
    if kind is None:

        @stage.app.job
        def take(data: Any) -> None:
            seen_by_take[-1].append(data)

        kind = take
    seen_by_take.append(seen)
    try:
        handle = kind.enqueue(value)
    except InvalidJob:
        assert stage.app.store.counts() == before
    else:
        assert handle.state is State.SUCCEEDED
        assert seen == [value]


seen_by_take: list[list[Any]] = []
