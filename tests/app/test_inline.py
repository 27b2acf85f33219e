"""Inline mode: the job runs where it is enqueued, by the same edges as in a worker."""

from __future__ import annotations

import asyncio
import contextvars
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.app.helpers import stored, work
from tests.scenarios.facts import eventually
from tests.scenarios.procs import nothing_left_open
from tests.services.fixtures import on_one_server
from tests.services.postgres import Database
from workhorse import (
    Context,
    Handle,
    InvalidJob,
    JobCancelled,
    JobFailed,
    Outcome,
    Reject,
    Retry,
    Snooze,
    State,
    Unavailable,
    Workhorse,
)
from workhorse import inline as machinery
from workhorse.engine.maintenance import rescue_gone
from workhorse.store.protocol import Turn
from workhorse.store.verbs.edges import PORTION

SLOW_RETRY = Retry(max_attempts=3, base=3600)


def edges(handle: Handle[Any]) -> list[str]:
    return [event.name for event in handle.events()]


def outcomes(app: Workhorse, handle: Handle[Any]) -> list[str]:
    return [str(attempt.outcome) for attempt in app.store.attempts(handle.id)]


def test_a_job_has_ended_when_enqueue_returns(inline: Workhorse) -> None:
    """Claimed, run and settled like any other; its worker lives as long as the job."""

    @inline.job
    def double(ctx: Context, number: int) -> int:
        ctx.log("doubling")
        return number * 2

    handle = double.enqueue(21)
    assert (handle.state, handle.result(timeout=0)) == (State.SUCCEEDED, 42)
    assert edges(handle) == ["enqueue", "claim", "log", "complete"]
    assert inline.store.workers() == []
    assert [worker.state for worker in inline.store.workers(gone=True)] == ["gone"]


def test_every_executor_runs_here(inline: Workhorse) -> None:
    """async, thread and process kinds all run in this process."""
    seen: list[tuple[str, int]] = []

    @inline.job
    async def on_loop() -> None:
        await asyncio.sleep(0)
        seen.append(("async", os.getpid()))

    @inline.job(run="thread")
    def in_thread() -> None:
        seen.append(("thread", os.getpid()))

    @inline.job(run="process")
    def in_process() -> None:
        seen.append(("process", os.getpid()))

    for kind in (on_loop, in_thread, in_process):
        assert kind.enqueue().state is State.SUCCEEDED
    assert seen == [("async", os.getpid()), ("thread", os.getpid()), ("process", os.getpid())]


def test_a_failed_attempt_is_tried_again_at_once(inline: Workhorse) -> None:
    """The backoff is an hour, and nobody waits for it."""
    attempts: list[int] = []

    @inline.job(retry=SLOW_RETRY)
    def third_time_lucky(ctx: Context) -> str:
        attempts.append(ctx.attempt)
        if ctx.attempt < 3:
            raise ConnectionError("not yet")
        return "done"

    handle = third_time_lucky.enqueue()
    assert handle.result(timeout=0) == "done"
    assert attempts == [1, 2, 3]
    assert outcomes(inline, handle) == ["error", "error", "ok"]
    assert edges(handle).count("retry") == 2


def test_a_spent_budget_fails_the_job(inline: Workhorse) -> None:
    """Then it is a dead letter, with the reasons of each attempt."""

    @inline.job(retry=SLOW_RETRY)
    def never() -> None:
        raise ConnectionError("no")

    handle = never.enqueue()
    assert handle.state is State.FAILED
    assert outcomes(inline, handle) == ["error"] * 3
    with pytest.raises(JobFailed, match="after 3 attempts: ConnectionError: no"):
        handle.result()


@pytest.mark.parametrize("error", [PermissionError, SystemExit, GeneratorExit, MemoryError])
def test_an_error_that_is_not_wanted_again_fails_at_once(
    inline: Workhorse, error: type[BaseException]
) -> None:
    """`never` of the retry policy holds here too, whatever kind of exception it names."""
    policy = Retry(max_attempts=5, never=(error,))

    @inline.job(retry=policy)
    def forbidden() -> None:
        raise error("no")

    @inline.job(retry=policy)
    async def forbidden_on_loop() -> None:
        raise error("no")

    assert len(outcomes(inline, forbidden.enqueue())) == 1
    assert len(outcomes(inline, forbidden_on_loop.enqueue())) == 1


@pytest.mark.parametrize("error", [SystemExit, MemoryError])
def test_what_no_policy_speaks_of_is_tried_again(
    inline: Workhorse, error: type[BaseException]
) -> None:
    """`on` is about what a handler means to raise."""

    @inline.job(retry=Retry(max_attempts=2, base=0, on=(OSError,)))
    def leaves() -> None:
        raise error("no")

    assert len(outcomes(inline, leaves.enqueue())) == 2


def test_reject_and_snooze(inline: Workhorse) -> None:
    """A rejected job fails at once; a snoozed one waits, and nothing of its budget is used."""

    @inline.job
    def say(what: str) -> None:
        if what == "reject":
            raise Reject("cannot be done")
        raise Snooze(3600, "not open yet")

    rejected, snoozed = say.enqueue("reject"), say.enqueue("snooze")
    assert (rejected.state, rejected.job.outcome) == (State.FAILED, Outcome.REJECTED)
    assert (snoozed.state, snoozed.job.outcome) == (State.SCHEDULED, Outcome.SNOOZED)
    assert snoozed.job.failures == 0
    assert outcomes(inline, snoozed) == ["snoozed"]


@pytest.mark.parametrize("seconds", [-1, 4e9, float("inf"), float("nan"), timedelta(days=40_000)])
def test_a_snooze_that_no_delay_may_be_is_an_error(
    inline: Workhorse, seconds: float | timedelta
) -> None:
    """As an enqueue with that delay is refused: the attempt fails, and says how long it may be."""

    @inline.job(retry=1)
    def doze() -> None:
        raise Snooze(seconds)

    job = doze.enqueue().job
    assert (job.state, job.outcome) == (State.FAILED, Outcome.ERROR)
    assert job.error is not None
    assert job.error["message"].startswith("Snooze takes 0 to 3153600000 seconds, not ")
    with pytest.raises(InvalidJob, match="delay must be 0 to 3153600000 seconds"):
        doze.using(delay=seconds).enqueue()


def test_what_has_to_wait_is_not_run(inline: Workhorse) -> None:
    """A delayed job, one after a job that has not ended, one whose unique key is held."""
    runs: list[str] = []

    @inline.job
    def run(name: str) -> None:
        runs.append(name)

    delayed = run.using(delay=3600, unique="k").enqueue("delayed")
    blocked = run.using(after=delayed).enqueue("blocked")
    again = run.using(unique="k").enqueue("again")
    assert [handle.state for handle in (delayed, blocked, again)] == [
        State.SCHEDULED,
        State.BLOCKED,
        State.SCHEDULED,
    ]
    assert again.existing
    assert runs == []


def test_many_are_run_one_after_the_other(inline: Workhorse) -> None:
    """`enqueue_many` runs each before it returns, in order, and each handle knows its end."""
    runs: list[int] = []

    @inline.job(retry=1)
    def run(number: int) -> int:
        runs.append(number)
        if number == 1:
            raise ValueError("one")
        return number

    handles = inline.enqueue_many([run.bind(n) for n in range(3)])
    assert runs == [0, 1, 2]
    assert [handle.state for handle in handles] == ["succeeded", "failed", "succeeded"]


def test_a_job_may_enqueue_another(inline: Workhorse) -> None:
    """It has ended before the outer one goes on; from plain code and from a coroutine."""
    order: list[str] = []

    @inline.job
    def inner(name: str) -> str:
        order.append(name)
        return name

    @inline.job
    def outer() -> str:
        result = inner.enqueue("inner").result(timeout=0)
        order.append("outer")
        return result

    @inline.job
    async def outer_on_loop() -> list[str]:
        handles = [inner.enqueue("sync"), await inner.aenqueue("async")]
        return [handle.result(timeout=0) for handle in handles]

    assert outer.enqueue().result(timeout=0) == "inner"
    assert order == ["inner", "outer"]
    assert outer_on_loop.enqueue().result(timeout=0) == ["sync", "async"]


def test_all_that_wait_for_a_job_are_seen_to(inline: Workhorse) -> None:
    """When `enqueue` returns, whatever their number: a portion at a time."""

    @inline.job
    def later() -> None: ...

    @inline.job
    def awaited(ctx: Context) -> None:
        inline.enqueue_many(later.using(after=ctx.job_id).bind() for _ in range(2 * PORTION + 1))

    awaited.enqueue()
    counts = inline.store.counts()
    assert (counts[State.AVAILABLE], counts[State.BLOCKED]) == (2 * PORTION + 1, 0)


def test_inside_a_running_loop(inline: Workhorse) -> None:
    """Both kinds run from a coroutine: `enqueue` waits for them, `aenqueue` lets the loop turn."""
    ticks: list[int] = []

    @inline.job
    async def on_loop() -> str:
        await asyncio.sleep(0)
        return "loop"

    @inline.job
    def plain() -> str:
        eventually(lambda: len(ticks) > 5, within=10)
        return "plain"

    async def tick() -> None:
        while True:
            ticks.append(1)
            await asyncio.sleep(0.001)

    async def main() -> list[str]:
        ticking = asyncio.create_task(tick())
        one = on_loop.enqueue()
        two = await plain.aenqueue()
        three = await on_loop.aenqueue()
        ticking.cancel()
        return [handle.result(timeout=0) for handle in (one, two, three)]

    assert asyncio.run(main()) == ["loop", "plain", "loop"]


def test_an_async_handler_is_ended_when_its_time_is_up(inline: Workhorse) -> None:
    """It is told, may tidy up, and has ended before the next attempt begins."""
    story: list[str] = []

    @inline.job(timeout=0.05, retry=2)
    async def endless(ctx: Context) -> None:
        story.append(f"begin {ctx.attempt}")
        try:
            await asyncio.sleep(600)
        finally:
            assert ctx.cancelled
            await asyncio.sleep(0.01)
            story.append(f"end {ctx.attempt}")

    handle = endless.enqueue()
    assert handle.state is State.FAILED
    assert outcomes(inline, handle) == ["timed_out", "timed_out"]
    assert story == ["begin 1", "end 1", "begin 2", "end 2"]


def test_a_handler_in_time_is_left_alone(inline: Workhorse) -> None:
    """A time limit that is not reached changes nothing."""

    @inline.job(timeout=60)
    async def quick() -> str:
        await asyncio.sleep(0.01)
        return "done"

    assert quick.enqueue().result(timeout=0) == "done"


def enqueued_elsewhere(kind: Any) -> tuple[threading.Thread, list[Handle[Any]]]:
    """Enqueue in another thread, where the job runs; return the thread, and the handle to come."""
    handles: list[Handle[Any]] = []
    thread = threading.Thread(target=lambda: handles.append(kind.enqueue()))
    thread.start()
    return thread, handles


def cancel_running(app: Workhorse) -> Handle[Any]:
    """Cancel the one job of the app once it runs."""
    eventually(lambda: [job.state for job in stored(app)] == [State.RUNNING])
    (job,) = stored(app)
    handle = app.get(job.id)
    assert handle.cancel() is State.RUNNING
    return handle


def test_a_running_async_job_is_cancelled_from_elsewhere(inline: Workhorse) -> None:
    """The handler is cancelled at its next await, and the job ends `cancelled`."""
    story: list[str] = []

    @inline.job
    async def endless(ctx: Context) -> None:
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            story.append(f"told: {ctx.cancelled}")
            raise

    thread, handles = enqueued_elsewhere(endless)
    cancel_running(inline)
    thread.join()
    assert story == ["told: True"]
    assert handles[0].state is State.CANCELLED
    with pytest.raises(JobCancelled):
        handles[0].result()


@pytest.mark.parametrize(("gives_up", "state"), [(True, "cancelled"), (False, "succeeded")])
def test_a_running_plain_job_may_listen(inline: Workhorse, gives_up: bool, state: str) -> None:
    """A `def` handler sees `ctx.cancelled`; either way it is over, and not run again.

    If it raises it was cancelled, if it returns it is done.
    """

    @inline.job(retry=1)
    def patient(ctx: Context) -> str:
        eventually(lambda: ctx.cancelled, within=30)
        if gives_up:
            raise InterruptedError
        return "done all the same"

    thread, handles = enqueued_elsewhere(patient)
    cancel_running(inline)
    thread.join()
    assert handles[0].state == state
    assert len(outcomes(inline, handles[0])) == 1


def test_a_handler_that_cancels_itself_has_failed(inline: Workhorse) -> None:
    """Nobody asked for it: it is an error like any other."""

    @inline.job(retry=1)
    async def quits() -> None:
        raise asyncio.CancelledError("enough")

    handle = quits.enqueue()
    assert (handle.state, handle.job.outcome) == (State.FAILED, Outcome.ERROR)


def test_ctrl_c_gives_the_job_back(inline: Workhorse) -> None:
    """The caller is interrupted; the job is available, its budget untouched, its worker gone."""

    @inline.job
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted.enqueue()
    (job,) = stored(inline)
    assert (job.state, job.failures, job.outcome) == (State.AVAILABLE, 0, Outcome.RELEASED)
    assert inline.store.workers() == []


def test_a_real_ctrl_c_ends_an_async_job(tmp_path: Path) -> None:
    """SIGINT while a coroutine runs: the script ends as scripts do, the job is given back."""
    script = tmp_path / "script.py"
    script.write_text(
        "import asyncio\n"
        "from workhorse import Workhorse\n"
        f"app = Workhorse('sqlite:///{tmp_path / 'jobs.db'}', inline=True)\n"
        "@app.job\n"
        "async def endless() -> None:\n"
        "    print('running', flush=True)\n"
        "    await asyncio.sleep(600)\n"
        "endless.enqueue()\n"
    )
    with subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"running\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(30) != 0
        assert b"KeyboardInterrupt" in process.stderr.read()
    app = Workhorse(f"sqlite:///{tmp_path / 'jobs.db'}")
    (job,) = stored(app)
    app.close()
    assert (job.state, job.failures, job.outcome) == (State.AVAILABLE, 0, Outcome.RELEASED)


def test_a_killed_process_loses_no_job(app: Workhorse, tmp_path: Path) -> None:
    """Its worker's file is unlocked: any supervisor on the host rescues the job at once."""
    script = tmp_path / "script.py"
    script.write_text(
        "import os, signal\n"
        "from workhorse import Workhorse\n"
        f"app = Workhorse({app.url!r}, inline=True)\n"
        "@app.job\n"
        "def die() -> None:\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "die.enqueue()\n"
    )
    assert subprocess.run([sys.executable, script], check=False).returncode == -signal.SIGKILL
    (job,) = stored(app)
    assert job.state is State.RUNNING

    worker = app.store.workers()[0]
    found = rescue_gone(app.store, me=0, run_dir=app.store.run_dir)
    assert [(one.worker, one.jobs) for one in found] == [(worker.id, 1)]
    handle = app.get(job.id)
    assert handle.state in {State.SCHEDULED, State.AVAILABLE}
    assert handle.job.outcome is Outcome.LOST


def test_a_living_process_is_not_taken_for_dead(inline: Workhorse) -> None:
    """While an inline job runs, its file is locked: nobody rescues it, and none is left after."""
    found: list[object] = []
    run_dir = inline.store.run_dir
    assert run_dir is not None

    @inline.job
    def look() -> None:
        found.extend(rescue_gone(inline.store, me=0, run_dir=run_dir))

    assert look.enqueue().state is State.SUCCEEDED
    assert found == []
    assert not list(run_dir.glob("worker-*")) + list(run_dir.glob("*.draft"))


def test_a_long_job_keeps_its_lease(inline: Workhorse, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lease is renewed from a thread while the handler runs."""
    monkeypatch.setattr(machinery, "LOOK", 0.02)
    monkeypatch.setattr(machinery, "RENEW", 0.02)

    def lease() -> int:
        return inline.store.workers()[0].lease_until

    @inline.job
    def long() -> None:
        first = lease()
        eventually(lambda: lease() > first + 50, within=10)

    assert long.enqueue().state is State.SUCCEEDED


def test_where_no_file_can_be_locked_nothing_is_left_behind(
    inline: Workhorse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`Unavailable`, as for any trouble with the store; the worker is gone, the job waits."""

    @inline.job
    def never() -> None:
        raise AssertionError

    monkeypatch.setattr(
        "workhorse.engine.lease.lock_path", lambda run_dir, worker: run_dir / "gone" / str(worker)
    )
    with pytest.raises(Unavailable, match="Cannot lock a file"):
        never.enqueue()
    assert inline.store.workers() == []
    assert [job.state for job in stored(inline)] == [State.AVAILABLE]
    run_dir = inline.store.run_dir
    assert run_dir is not None
    assert list(run_dir.glob("*.draft")) == []


def test_a_late_settle_changes_nothing(inline: Workhorse) -> None:
    """A job that was rescued while it ran here is no longer this process's to settle."""

    @inline.job
    def overtaken(ctx: Context) -> str:
        if ctx.attempt == 1:
            (worker,) = inline.store.workers()
            inline.store.rescue(worker.id, reason="by an operator", expired_only=False)
        return f"attempt {ctx.attempt}"

    handle = overtaken.enqueue()
    assert handle.state is not State.SUCCEEDED
    work(inline, handle.id)
    assert handle.result(timeout=0) == "attempt 2"
    assert outcomes(inline, handle) == ["lost", "ok"]


def test_a_requeued_job_is_run_here_too(inline: Workhorse) -> None:
    """Whoever requeues it gets its end."""
    mended: list[bool] = []

    @inline.job(retry=1)
    def fragile() -> str:
        if not mended:
            raise ValueError("broken")
        return "fine"

    handle = fragile.enqueue()
    assert handle.state is State.FAILED
    mended.append(True)
    handle.requeue()
    assert (handle.state, handle.result(timeout=0)) == (State.SUCCEEDED, "fine")


def test_a_requeued_job_of_an_unknown_kind_is_left_for_a_worker(app: Workhorse) -> None:
    """As a worker leaves it alone: it is available, and was never claimed."""
    here = Workhorse(app.url, inline=True)
    app.job(name="elsewhere")(lambda: None)
    job_id = app.kind("elsewhere").enqueue().id
    app.get(job_id).cancel()
    handle = here.get(job_id)
    handle.requeue()
    assert (handle.state, edges(handle)) == (State.AVAILABLE, ["enqueue", "cancel", "requeue"])
    here.close()


@pytest.mark.parametrize("inside", [False, True])
def test_an_exit_in_a_task_is_an_error_of_the_job(inline: Workhorse, *, inside: bool) -> None:
    """As where the handler itself exits: it does not reach who enqueues, on a loop or off it."""

    @inline.job(retry=1)
    async def parse() -> None:
        async def step() -> None:
            sys.exit(2)

        await asyncio.gather(step())

    async def enqueue() -> Handle[None]:
        return parse.enqueue()

    handle = asyncio.run(enqueue()) if inside else parse.enqueue()
    assert handle.state is State.FAILED
    with pytest.raises(JobFailed, match="SystemExit: 2"):
        handle.result()


def test_a_handler_may_close_the_app(inline: Workhorse) -> None:
    """Its job ends as ever, and leaves no worker behind; the next use opens the store again."""

    @inline.job
    def frugal() -> str:
        with inline:
            return "closed"

    assert frugal.enqueue().result(timeout=0) == "closed"
    assert frugal.enqueue().result(timeout=0) == "closed"
    assert inline.store.workers() == []


def test_an_app_that_ran_jobs_lets_go_of_its_store(tmp_path: Path) -> None:
    """`close` leaves no descriptor open, were the jobs run inline and did one close the app."""
    app = Workhorse(tmp_path / "jobs.db", inline=True)
    kinds = [app.job(name="plain")(lambda: None), app.job(name="frugal")(app.close)]

    def everything() -> None:
        for kind in kinds:
            kind.enqueue()
            kind.enqueue()
            app.close()

    everything()
    with nothing_left_open():
        for _ in range(5):
            everything()


@on_one_server
def test_an_end_that_anothers_transaction_keeps_is_written_down_after_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has run is not run again because somebody waits for it in a transaction still open."""
    with (
        closing(Workhorse(database.url, inline=True)) as app,
        psycopg.connect(database.url) as other,
    ):
        later = app.job(name="later")(lambda: None)

        @app.job
        def awaited(ctx: Context) -> str:
            later.using(session=other, after=[ctx.job_id]).enqueue()
            return "done"

        held_up: list[Sequence[tuple[int, int]]] = []
        turn = app.store.turn

        def watched(*request: Any) -> Turn:
            answer = turn(*request)
            held_up.append(answer.held_up)
            other.commit()
            return answer

        monkeypatch.setattr(app.store, "turn", watched)
        handle = awaited.enqueue()
        assert (handle.state, handle.result(timeout=0)) == (State.SUCCEEDED, "done")
        assert held_up == [[(handle.id, 1)], []]
        assert outcomes(app, handle) == ["ok"]


def test_a_handlers_context_variables_stay_its_own(inline: Workhorse) -> None:
    """What a handler sets does not leak into the code that enqueued it; what that set is seen."""
    variable = contextvars.ContextVar("variable", default="unset")
    seen: list[str] = []

    @inline.job
    def plain() -> None:
        seen.append(variable.get())
        variable.set("the handler's")

    @inline.job
    async def on_loop() -> None:
        seen.append(variable.get())
        variable.set("the handler's")

    variable.set("the caller's")
    plain.enqueue()
    on_loop.enqueue()

    async def main() -> None:
        on_loop.enqueue()
        await on_loop.aenqueue()

    asyncio.run(main())
    assert seen == ["the caller's"] * 4
    assert variable.get() == "the caller's"


def test_many_threads_run_inline_at_once(inline: Workhorse) -> None:
    """Each thread's job runs in that thread, and every one ends."""
    ran: list[tuple[int, int]] = []

    @inline.job
    def where(number: int) -> None:
        ran.append((number, threading.get_ident()))

    def enqueue(number: int) -> Callable[[], None]:
        def run() -> None:
            assert where.enqueue(number).state is State.SUCCEEDED
            assert (number, threading.get_ident()) in ran

        return run

    threads = [threading.Thread(target=enqueue(number)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ran) == 6
    assert {job.state for job in stored(inline)} == {State.SUCCEEDED}
