"""A handle: waiting for a result, following events, cancelling, requeuing."""

from __future__ import annotations

import asyncio
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from tests.app.helpers import claim, work
from tests.engine.rung import is_rung
from workhorse import (
    Conflict,
    Context,
    Event,
    Handle,
    InvalidJob,
    JobCancelled,
    JobFailed,
    NotFound,
    Reject,
    ResultTimeout,
    State,
    Workhorse,
)
from workhorse.engine.wake import Sleeper
from workhorse.handle import FIRST_LOOK, PAGE, SLOWEST_LOOK


@dataclass
class Size:
    width: int


@contextmanager
def meanwhile(action: Callable[[], object]) -> Iterator[None]:
    """Do something in a thread of its own; it has ended when the block is left."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            action()
        except BaseException as error:  # noqa: BLE001 - raised again below
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    if failed:
        raise failed[0]


@pytest.fixture
def measure(app: Workhorse) -> Any:
    @app.job
    def measure(width: int) -> Size:
        return Size(width)

    return measure


@pytest.fixture
def refuse(app: Workhorse) -> Any:
    @app.job(retry=1)
    def refuse(why: str) -> None:
        raise ValueError(why)

    return refuse


# ── results ─────────────────────────────────────────────────────────────────────────────────


def test_a_result_is_waited_for(app: Workhorse, measure: Any) -> None:
    """`result` returns when the job has ended, wherever it ran, as the type it is annotated."""
    handle = measure.enqueue(5)
    with meanwhile(lambda: work(app, handle.id)):
        assert handle.result(timeout=30) == Size(5)
    assert handle.state is State.SUCCEEDED
    assert handle.result(timeout=0) == Size(5)
    assert app.get(handle.id).result() == Size(5)


def test_a_time_that_is_none_is_refused(measure: Any) -> None:
    """`nan` would never be over; it is told, in either form."""
    handle = measure.enqueue(5)
    with pytest.raises(InvalidJob, match="nan is not a number of seconds"):
        handle.result(timeout=float("nan"))
    with pytest.raises(InvalidJob, match="nan is not a number of seconds"):
        asyncio.run(handle.aresult(timeout=float("nan")))


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda app, _: app.get("1"), "job_id must be an integer, not a str"),
        (lambda app, _: app.get(True), "job_id must be an integer, not a bool"),
        (lambda _, job: job.result(timeout="3"), "timeout must be a number of seconds, not a str"),
        (lambda _, job: job.cancel(reason=5), "reason must be a text, not a int"),
        (lambda _, job: next(job.events(after="x")), "after must be the number of an event, not a"),
        (lambda _, job: next(job.events(after=None)), "after must be the number of an event, not"),
    ],
)
def test_what_is_of_a_wrong_type_is_refused_by_name(
    app: Workhorse, measure: Any, ask: Callable[[Workhorse, Any], object], told: str
) -> None:
    """In one line of ours, and nothing has changed."""
    handle = measure.enqueue(5)
    with pytest.raises(InvalidJob, match=told):
        ask(app, handle)
    assert handle.refresh().state is State.AVAILABLE


def test_a_result_that_does_not_come_in_time(measure: Any) -> None:
    """The error says how long was waited and where the job stands; the job goes on."""
    handle = measure.enqueue(5)
    started = time.monotonic()
    with pytest.raises(ResultTimeout, match=rf"Job {handle.id} is still available after 0\.05 s"):
        handle.result(timeout=0.05)
    assert 0.05 <= time.monotonic() - started < 5
    with pytest.raises(TimeoutError):
        handle.result(timeout=0)
    assert handle.refresh().state is State.AVAILABLE


def test_a_failed_job_has_no_result(app: Workhorse, refuse: Any) -> None:
    """The error tells the reason in one line, and has the whole job, in any process."""
    handle = refuse.enqueue("no\nsuch thing")
    work(app, handle.id)
    told = rf"Job {handle.id} \(refuse\) failed after 1 attempt: ValueError: no such thing"
    with pytest.raises(JobFailed, match=told) as error:
        handle.result()
    job: Any = error.value.job
    assert job == handle.job
    assert job.error["message"] == "no\nsuch thing"
    assert pickle.loads(pickle.dumps(error.value)).job == job


def test_a_cancelled_job_has_no_result(measure: Any) -> None:
    """It is told apart from one that failed, and can be caught with it."""
    handle = measure.enqueue(5)
    handle.cancel()
    with pytest.raises(JobCancelled, match=rf"Job {handle.id} \(measure\) was cancelled"):
        handle.result()


def test_a_deleted_job_is_not_waited_for(app: Workhorse, measure: Any) -> None:
    """A job that is gone from the store will never end."""
    handle = measure.enqueue(5)
    work(app, handle.id)
    app.store.delete(handle.id)
    for look in (handle.refresh, handle.result, handle.explain, handle.cancel, handle.requeue):
        with pytest.raises(NotFound, match=f"no job {handle.id}"):
            look()


def test_a_result_without_its_code_is_plain_data(app: Workhorse, measure: Any) -> None:
    """An app that does not know the kind gives the JSON value."""
    handle = measure.enqueue(5)
    nothing = app.job(name="nothing")(lambda: None).enqueue()
    work(app, handle.id, nothing.id)
    other = Workhorse(app.url)
    assert other.get(handle.id).result() == {"width": 5}
    assert other.get(nothing.id).result() is None
    other.close()


def test_aresult_does_not_block_the_loop(app: Workhorse, measure: Any, refuse: Any) -> None:
    """While it waits, other tasks run; it returns and raises what `result` does."""

    async def main() -> None:
        handle = await measure.aenqueue(5)
        failing = await refuse.aenqueue("no")
        with pytest.raises(ResultTimeout):
            await handle.aresult(timeout=0.01)
        waiting = asyncio.create_task(handle.aresult(timeout=30))
        await asyncio.to_thread(work, app, handle.id, failing.id)
        assert await waiting == Size(5)
        with pytest.raises(JobFailed):
            await failing.aresult()

    asyncio.run(main())


def test_what_is_awaited_waits_for_no_thread_of_the_loops(app: Workhorse, measure: Any) -> None:
    """A program may use up its loop's threads; the app has its own."""

    async def main() -> None:
        loop, free = asyncio.get_running_loop(), threading.Event()
        loop.set_default_executor(ThreadPoolExecutor(1))
        loop.run_in_executor(None, free.wait)
        try:
            async with asyncio.timeout(20):
                (handle,) = await app.aenqueue_many([measure.bind(5)])
                with pytest.raises(ResultTimeout):
                    await handle.aresult(timeout=0)
        finally:
            free.set()

    asyncio.run(main())


# ── events ──────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def talk(app: Workhorse) -> Any:
    @app.job
    def talk(ctx: Context, lines: int) -> None:
        for number in range(lines):
            ctx.log(f"line {number}", number=number)
        ctx.progress(50, "half way")

    return talk


def names(events: list[Event]) -> list[str]:
    return [event.name for event in events]


def test_events_tell_a_jobs_life_in_order(app: Workhorse, talk: Any) -> None:
    """Edges and output in one stream, numbered; `after` goes on from where one stood."""
    handle = talk.enqueue(2)
    work(app, handle.id)
    events = list(handle.events())
    assert names(events) == ["enqueue", "claim", "log", "log", "progress", "complete"]
    assert [event.seq for event in events] == sorted({event.seq for event in events})
    assert events[2].data == {"message": "line 0", "stream": "log", "number": 0}
    assert events[4].data == {"percent": 50, "message": "half way"}
    assert {event.job_id for event in events} == {handle.id}
    assert names(list(handle.events(after=events[3].seq))) == ["progress", "complete"]
    assert list(handle.events(after=events[-1].seq)) == []


def test_events_are_paged(app: Workhorse, talk: Any) -> None:
    """More events than one page come all the same, once each."""
    handle = talk.enqueue(PAGE + 5)
    work(app, handle.id)
    lines = [event.data["number"] for event in handle.events() if event.name == "log"]
    assert lines == list(range(PAGE + 5))


def test_following_ends_with_the_job(app: Workhorse, talk: Any) -> None:
    """`follow` yields what comes while the job runs, down to its last event, and then stops."""
    handle = talk.enqueue(3)
    stream = handle.events(follow=True)
    assert next(stream).name == "enqueue"
    with meanwhile(lambda: work(app, handle.id)):
        assert names(list(stream)) == ["claim", *["log"] * 3, "progress", "complete"]
    assert names(list(handle.events(follow=True)))[-1] == "complete"


def test_not_following_ends_at_once(talk: Any) -> None:
    """Without `follow` the events there are come, though the job has not ended."""
    assert names(list(talk.enqueue(3).events())) == ["enqueue"]


# ── cancel and requeue ──────────────────────────────────────────────────────────────────────


def test_a_cancel_may_say_why(measure: Any) -> None:
    """What it says is kept with the job, and told to who waits for the result."""
    handle = measure.enqueue(5)
    assert handle.cancel(reason="the user left") is State.CANCELLED
    with pytest.raises(JobCancelled, match="the user left"):
        handle.result(timeout=0)


def test_a_job_that_waits_is_cancelled_at_once(measure: Any) -> None:
    """Available, scheduled or blocked: it is over when `cancel` returns."""
    first = measure.enqueue(1)
    waiting: list[Handle[Size]] = [
        measure.using(after=first).enqueue(2),
        measure.using(delay=60).enqueue(3),
        first,
    ]
    for handle in waiting:
        assert handle.cancel() is State.CANCELLED
        assert handle.state is State.CANCELLED
        assert handle.job.state is State.CANCELLED


def test_a_running_job_is_told(app: Workhorse, measure: Any) -> None:
    """Its worker has to end it: until then it runs, and asking again changes nothing."""
    handle = measure.enqueue(5)
    claim(app, handle.id)
    assert not handle.job.cancel_requested
    assert handle.cancel() is State.RUNNING
    assert handle.cancel() is State.RUNNING
    assert handle.job.cancel_requested


def test_an_ended_job_cannot_be_cancelled(app: Workhorse, measure: Any) -> None:
    """`Conflict` says where it stands."""
    handle = measure.enqueue(5)
    work(app, handle.id)
    with pytest.raises(Conflict, match="is succeeded: cancel leaves only"):
        handle.cancel()


def test_a_requeued_job_starts_afresh_under_its_id(app: Workhorse) -> None:
    """A new budget, the same id, and attempt numbers that go on growing."""
    fine = threading.Event()

    @app.job(retry=1)
    def work_once_mended() -> int:
        if not fine.is_set():
            raise ValueError("broken")
        return 1

    handle = work_once_mended.enqueue()
    work(app, handle.id)
    assert (handle.refresh().state, handle.job.failures) == (State.FAILED, 1)
    fine.set()
    handle.requeue()
    assert (handle.state, handle.job.failures, handle.job.attempt) == (State.AVAILABLE, 0, 1)
    work(app, handle.id)
    assert handle.result(timeout=1) == 1
    assert handle.job.attempt == 2
    assert [attempt.outcome for attempt in app.store.attempts(handle.id)] == ["error", "ok"]


def test_only_what_ended_badly_can_be_requeued(app: Workhorse, measure: Any) -> None:
    """A cancelled job can; one that waits, runs or succeeded cannot."""
    handle = measure.enqueue(5)
    with pytest.raises(Conflict, match="is available: requeue leaves only failed, cancelled"):
        handle.requeue()
    handle.cancel()
    handle.requeue()
    assert handle.state is State.AVAILABLE
    work(app, handle.id)
    with pytest.raises(Conflict, match="is succeeded"):
        handle.requeue()


# ── what a handle knows ─────────────────────────────────────────────────────────────────────


def test_a_handle_knows_what_it_saw_last(app: Workhorse, measure: Any) -> None:
    """`state` and `job` are as last seen; `refresh` looks again and returns the handle."""
    handle = measure.enqueue(5)
    assert handle.job.attempt == 0
    work(app, handle.id)
    assert (handle.state, handle.job.attempt) == (State.AVAILABLE, 0)
    assert handle.refresh() is handle
    assert (handle.state, handle.job.attempt) == (State.SUCCEEDED, 1)


def test_waiting_asks_less_and_less_often(app: Workhorse, measure: Any) -> None:
    """A short job is seen within milliseconds; a long one costs about ten looks a second."""
    handle = measure.enqueue(5)
    looks: list[float] = []
    get = app.store.get

    def counted(job_id: int) -> Any:
        looks.append(time.monotonic())
        return get(job_id)

    app.store.get = counted  # type: ignore[method-assign]
    with pytest.raises(ResultTimeout):
        handle.result(timeout=0.6)
    assert 5 <= len(looks) <= 20


def test_following_asks_less_and_less_often(
    app: Workhorse, measure: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While nothing happens; what happens then is told soon, and what follows it."""
    handle = measure.enqueue(5)
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 20:
            work(app, handle.id)

    monkeypatch.setattr("workhorse.handle.time", SimpleNamespace(sleep=sleep))
    names = [event.name for event in handle.events(follow=True)]
    assert names == ["enqueue", "claim", "complete"]
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1], len(pauses)) == (FIRST_LOOK, SLOWEST_LOOK, 20)


def test_a_rejected_job_tells_why(app: Workhorse) -> None:
    """What a handler gives as its reason is what the caller reads."""

    @app.job
    def deploy(environment: str) -> None:
        raise Reject(f"no such environment: {environment}")

    handle = deploy.enqueue("moon")
    work(app, handle.id)
    with pytest.raises(JobFailed, match="failed after 1 attempt: Reject: no such environment"):
        handle.result()


def test_what_a_handle_changes_wakes_workers(app: Workhorse) -> None:
    """A cancelled job is told at once, a requeued one starts at once: neither waits for a poll."""
    kind = app.job(name="quiet")(lambda: None)
    job = kind.enqueue()
    run_dir = app.store.run_dir
    assert run_dir is not None
    with closing(Sleeper(run_dir, "somebody")) as sleeper:
        for change in (job.cancel, job.requeue):
            assert not is_rung(sleeper)
            change()
            assert is_rung(sleeper)
