"""``run="process"``: a process for one job at a time, ended with all it started."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.engine import kinds
from tests.engine.workshop import Workshop, eventually
from tests.scenarios import procs
from tests.store import hands
from workhorse.domain.job import Job, State
from workhorse.engine.clock import now
from workhorse.engine.output import BURST, BYTES_PER_ATTEMPT

pytestmark = pytest.mark.needs("linux")

Make = Callable[..., Workshop]
NOT_YET = "processes cannot be ended yet"


async def do(shop: Workshop, what: str, value: Any = None, **facts: Any) -> Job:
    """Have a process do something, and return its job when it has ended."""
    return await shop.until(shop.put(kinds.process, what, value, **facts))


def result(job: Job) -> Any:
    assert job.state is State.SUCCEEDED, job
    return None if job.result is None else json.loads(job.result)


def message(job: Job) -> str:
    assert job.error is not None
    return str(job.error["message"])


def test_a_process_is_used_again(workshop: Make) -> None:
    """Jobs that end in order, well or not, and leave nothing share one process after another."""

    async def play() -> None:
        async with workshop() as shop:
            first = result(await do(shop, "pid"))
            assert first != os.getpid()
            failed = await do(shop, "no such deed", max_attempts=1)
            assert failed.outcome == "error"
            assert result(await do(shop, "pid")) == first

    asyncio.run(play())


def test_what_an_earlier_job_says_late_is_nobody_s(workshop: Make) -> None:
    """A thread of the app's, there before any job, may say it when the process has another job."""

    async def play() -> None:
        async with workshop() as shop:
            earlier = await shop.until(shop.put(kinds.late))
            later = await shop.until(shop.put(kinds.hear_late))
            assert result(later) == result(earlier)
            for job in (earlier, later):
                assert shop.lines(job.id) == []
                assert (job.progress, job.message) == (None, None)

    asyncio.run(play())


@pytest.mark.parametrize("what", ["leave a process", "leave a thread"])
def test_a_process_with_something_left_in_it_is_not(workshop: Make, what: str) -> None:
    """A thread or a process that a job leaves behind is ended before its job is settled."""

    async def play() -> None:
        async with workshop() as shop:
            pid = result(await do(shop, what))
            assert procs.living([pid, *(int(one) for one in shop.heard("left"))]) == []
            assert result(await do(shop, "pid")) != pid

    asyncio.run(play())


@pytest.mark.parametrize("what", kinds.LEFTOVERS)
def test_a_process_left_otherwise_than_it_was_found_is_not(workshop: Make, what: str) -> None:
    """What a job changes for its whole process is seen by no other: that gets a fresh one."""

    async def play() -> None:
        async with workshop() as shop:
            job = await do(shop, "leave", what)
            pid = result(job)
            assert shop.lines(job.id) == (["kept"] if what == "other stdout" else [])
            assert not procs.alive(pid)
            assert result(await do(shop, "pid")) != pid

    asyncio.run(play())


def test_a_process_put_back_in_order_is_used_again(workshop: Make) -> None:
    """A job may change what it likes for as long as it runs."""

    async def play() -> None:
        async with workshop() as shop:
            pid = result(await do(shop, "put back"))
            assert result(await do(shop, "put back")) == pid
            assert result(await do(shop, "pid")) == pid

    asyncio.run(play())


def test_a_process_that_has_grown_is_not(workshop: Make) -> None:
    """A process above the worker's limit of memory ends with the job that took it there."""

    async def play() -> None:
        async with workshop(max_memory_mib=250) as shop:
            pid = result(await do(shop, "hoard", 1))
            assert result(await do(shop, "hoard", 300)) == pid
            assert not procs.alive(pid)
            assert result(await do(shop, "pid")) != pid

    asyncio.run(play())


def test_jobs_at_once_have_a_process_each(workshop: Make) -> None:
    """No two attempts share a process while they run."""

    async def play() -> None:
        async with workshop() as shop:
            jobs = [shop.put(kinds.process, "sleep", 0.5) for _ in range(3)]
            await shop.until_heard("ran", 3)
            below = [p for p in procs.children(os.getpid()) if "engine.runner" in p.command]
            assert len(below) == 3
            for job in jobs:
                await shop.until(job)

    asyncio.run(play())


def test_what_is_printed_is_kept(workshop: Make) -> None:
    """Standard output and error become lines of the job's log, and of no other job's."""

    async def play() -> None:
        async with workshop() as shop:
            said = await do(shop, "print", "über\nzwei\x1b[0m")
            assert shop.lines(said.id)[:2] == ["über", "zwei\x1b[0m"]
            assert "to stderr" in shop.lines(said.id)
            streams = {
                event.data["message"]: event.data["stream"]
                for event in shop.store.events(job_id=said.id)
                if event.name == "log"
            }
            assert (streams["über"], streams["to stderr"]) == ("stdout", "stderr")
            silent = await do(shop, "pid")
            assert shop.lines(silent.id) == []

    asyncio.run(play())


def test_a_last_line_without_an_end_is_the_jobs_own(workshop: Make) -> None:
    """What a job leaves unfinished on its last line is in its log, not in the next job's."""

    async def play() -> None:
        async with workshop() as shop:
            written = await do(shop, "write", {"line": "secret ", "times": 1})
            printed = await do(shop, "print unfinished", "no end")
            silent = await do(shop, "pid")
            assert shop.lines(written.id) == ["secret "]
            assert shop.lines(printed.id) == ["no end"]
            assert shop.lines(silent.id) == []
            below = [p for p in procs.children(os.getpid()) if "engine.runner" in p.command]
            assert [p.pid for p in below] == [result(silent)], "they shared one process"

    asyncio.run(play())


def test_a_progress_bar_is_seen_while_it_moves(workshop: Make) -> None:
    """A carriage return ends a line, alone or before a line feed; nothing is seen twice."""

    async def play() -> None:
        async with workshop() as shop:
            job = shop.put(kinds.process, "bar")
            await eventually(lambda: shop.lines(job) == ["1/3", "2/3"])
            shop.go_on("bar")
            await shop.until(job)
            assert shop.lines(job) == ["1/3", "2/3", "3/3", "done"]

    asyncio.run(play())


def test_a_burst_is_seen_to_its_end_while_its_job_is_silent(workshop: Make) -> None:
    """What came too fast for one moment comes in the next, whatever the job does meanwhile."""

    async def play() -> None:
        async with workshop() as shop:
            job = shop.put(kinds.process, "burst", BURST + 90)
            every = [str(n) for n in range(1, BURST + 91)]
            await eventually(lambda: shop.lines(job) == every)
            shop.go_on("burst")
            result(await shop.until(job))
            assert shop.lines(job) == every

    asyncio.run(play())


def test_a_line_that_never_ends_is_cut(workshop: Make) -> None:
    """A megabyte without a line break is kept in pieces, as far as an attempt may write."""

    async def play() -> None:
        async with workshop() as shop:
            job = await do(shop, "write", {"line": "x" * 1000, "times": 3000})
            assert job.state is State.SUCCEEDED
            lines = shop.lines(job.id)
            assert max(len(line) for line in lines) <= 32 << 10
            assert 100_000 < sum(len(line) for line in lines) <= BYTES_PER_ATTEMPT
            assert {line[0] for line in lines[-3:]} == {"x"}
            assert any("lines were dropped" in line for line in lines)

    asyncio.run(play())


def test_a_flood_of_output_does_not_hold_up_the_loop(workshop: Make) -> None:
    """While one job writes without end, its neighbours' time limits are kept all the same."""

    async def play() -> None:
        async with workshop() as shop:
            flood = shop.put(kinds.process, "write", {"line": "y\n", "times": 1_000_000})
            await shop.until_heard("ran")
            longest, last = 0.0, time.monotonic()
            while not shop.store.get(flood).is_finished:  # type: ignore[union-attr]
                await asyncio.sleep(0.002)
                longest, last = max(longest, time.monotonic() - last), time.monotonic()
            assert longest < 1.0, f"the loop stood still for {longest:.2f} s"
            assert any("dropped" in line for line in shop.lines(flood))

    asyncio.run(play())


@pytest.mark.parametrize(
    ("what", "value", "evidence"),
    [
        ("die", signal.SIGKILL, {"exit_signal": "SIGKILL"}),
        ("die", signal.SIGABRT, {"exit_signal": "SIGABRT"}),
        ("exit", 0, {"exit_code": 0}),
        ("exit", 7, {"exit_code": 7}),
    ],
)
def test_a_death_of_the_process_is_an_outcome(
    workshop: Make, what: str, value: int, evidence: dict[str, object]
) -> None:
    """A process that dies under its job, even politely, has crashed; the evidence is kept."""

    async def play() -> None:
        async with workshop() as shop:
            job = await do(shop, what, value, max_attempts=1)
            assert job.outcome == "crashed"
            assert job.error is not None
            assert evidence.items() <= dict(job.error).items()
            result(await do(shop, "pid"))

    asyncio.run(play())


@pytest.mark.parametrize(
    ("what", "value", "outcome"),
    [
        ("reject", "no", "rejected"),
        ("sys.exit", 3, "error"),
        ("snooze", 0.01, "snoozed"),
    ],
)
def test_what_a_handler_asks_for_arrives(
    workshop: Make, what: str, value: Any, outcome: str
) -> None:
    """Outcomes cross from the process as they are."""

    async def play() -> None:
        async with workshop() as shop:
            job = shop.put(kinds.process, what, value, max_attempts=1)
            await eventually(lambda: shop.outcomes(job)[:1] == [outcome])

    asyncio.run(play())


def test_a_handler_may_close_its_output(workshop: Make) -> None:
    """A job that closes what it could print to has still succeeded."""

    async def play() -> None:
        async with workshop() as shop:
            result(await do(shop, "close"))
            result(await do(shop, "pid"))

    asyncio.run(play())


def test_one_told_to_end_may_tidy_up(workshop: Make) -> None:
    """SIGTERM comes as an exception: ``finally`` blocks run, within the grace."""

    async def play() -> None:
        async with workshop(cancel_grace=10) as shop:
            job = shop.put(kinds.process, "tidy", 60)
            await shop.until_heard("tidying")
            shop.store.cancel(job)
            assert (await shop.until(job)).state is State.CANCELLED
            assert len(shop.heard("tidied")) == 1

    asyncio.run(play())


@pytest.mark.parametrize("where", ["keep in", "keep in at a fork"])
def test_one_told_to_end_where_no_exception_gets_out(workshop: Make, where: str) -> None:
    """In a ``__del__``, or while it forks, Python drops the exception: it is raised again."""

    async def play() -> None:
        async with workshop(cancel_grace=20) as shop:
            job = shop.put(kinds.process, where)
            await shop.until_heard("deep in")
            shop.store.cancel(job)
            assert (await shop.until(job)).state is State.CANCELLED
            assert len(shop.heard("tidied")) == 1

    asyncio.run(play())


def test_one_that_will_not_end_is_killed_with_all_below(workshop: Make) -> None:
    """Nothing of it lives when it is settled: not the daemon that left session and environment."""

    async def play() -> None:
        async with workshop(cancel_grace=0.3) as shop:
            job = shop.put(kinds.process, "stubborn", 60)
            (daemon,) = await shop.until_heard("daemons")
            assert procs.alive(int(daemon))
            shop.store.cancel(job)
            ended = await shop.until(job)
            assert not procs.alive(int(daemon))
            assert ended.state is State.CANCELLED

    asyncio.run(play())


def test_one_that_ends_when_no_descriptor_is_free_ends(workshop: Make) -> None:
    """What cannot be looked at is not used again: it is ended, when that can be seen to."""

    async def play() -> None:
        async with workshop() as shop:
            pid = result(await do(shop, "pid"))
            job = shop.put(kinds.process, "sleep", 0.5)
            await shop.until_heard("ran", 2)
            with capture_logs() as logs, procs.no_descriptor():
                await eventually(lambda: NOT_YET in [line["event"] for line in logs])
                assert hands.state(shop.store, job) is State.RUNNING
            result(await shop.until(job))
            assert not procs.alive(pid)
            assert result(await do(shop, "pid")) != pid

    asyncio.run(play())


def test_one_told_to_end_when_no_descriptor_is_free_is_killed_with_all_below(
    workshop: Make,
) -> None:
    """It is over when all of it is, and not before, however long that cannot be seen to."""

    async def play() -> None:
        async with workshop() as shop:
            job = shop.put(kinds.process, "stubborn", 60)
            (daemon,) = await shop.until_heard("daemons")
            with capture_logs() as logs, procs.no_descriptor():
                shop.store.cancel(job)
                await eventually(lambda: NOT_YET in [line["event"] for line in logs])
                assert hands.state(shop.store, job) is State.RUNNING
            assert (await shop.until(job)).state is State.CANCELLED
            assert not procs.alive(int(daemon))

    asyncio.run(play())


def test_a_crash_leaves_no_orphan(workshop: Make) -> None:
    """What a dying process leaves in an environment of its own is ended before the next attempt."""

    async def play() -> None:
        async with workshop() as shop:
            job = await do(shop, "leave a process", signal.SIGKILL, max_attempts=1)
            (left,) = shop.heard("left")
            assert not procs.alive(int(left))
            assert job.outcome == "crashed"

    asyncio.run(play())


def test_a_process_that_dies_while_it_idles_is_nobodys_fault(workshop: Make) -> None:
    """The next job gets a new one, and is not blamed."""

    async def play() -> None:
        async with workshop() as shop:
            for wait in (True, False):
                pid = result(await do(shop, "pid"))
                os.kill(pid, signal.SIGKILL)
                if wait:
                    await eventually(lambda pid=pid: not procs.alive(pid))  # type: ignore[misc]
                job = await do(shop, "pid")
                assert result(job) != pid
                assert set(shop.outcomes(job.id)) <= {"released", "ok"}

    asyncio.run(play())


@pytest.mark.parametrize(("words", "told"), [("last words", "last words"), ("", "status was 9")])
def test_an_app_that_cannot_be_imported_there_fails_the_attempt(
    workshop: Make, monkeypatch: pytest.MonkeyPatch, words: str, told: str
) -> None:
    """A process that dies while it imports the app is told with its last words, and retried."""

    async def play() -> None:
        monkeypatch.setenv(kinds.IMPORT, "exit")
        monkeypatch.setenv(kinds.LAST_WORDS, words)
        async with workshop() as shop:
            job = shop.put(kinds.process, "pid")
            ended = await shop.until(job)
            assert result(ended)
            (failed, _) = shop.store.attempts(job)
            assert failed.error is not None
            assert "could not start" in failed.error["message"]
            assert told in failed.error["message"]

    asyncio.run(play())


def test_a_process_that_cannot_be_watched_is_none(
    workshop: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is started with the last free descriptor fails its attempt, and does not live on."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    async def play() -> None:
        async with workshop() as shop:
            with monkeypatch.context() as limit:
                limit.setattr(os, "pidfd_open", refuse)
                job = await do(shop, "pid", max_attempts=1)
            assert "Too many open files" in message(job)
            assert [p for p in procs.children(os.getpid()) if "engine.runner" in p.command] == []
            result(await do(shop, "pid"))

    asyncio.run(play())


def test_a_start_that_hangs_can_be_ended(workshop: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """An import that never ends can be cancelled, and fails its attempt in the end."""

    async def play() -> None:
        monkeypatch.setenv(kinds.IMPORT, "hang")
        async with workshop(cancel_grace=0.2) as shop:
            job = shop.put(kinds.process, "pid")
            (pid,) = await shop.until_heard("importing")
            shop.store.cancel(job)
            assert (await shop.until(job)).state is State.CANCELLED
            assert not procs.alive(int(pid))
            monkeypatch.setattr("workhorse.engine.executors.own_process.IMPORT_PATIENCE", 2)
            late = await do(shop, "pid", timeout=0.3, max_attempts=1)
            assert late.outcome == "error"
            assert "not imported the app within 2 s" in message(late)
            assert procs.living([int(one) for one in shop.heard("importing")]) == []
            assert shop.heard("ran") == []

    asyncio.run(play())


def test_its_time_is_for_the_handler(workshop: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time limit begins when the app is imported, in the child and for its supervisor."""

    async def play() -> None:
        monkeypatch.setenv(kinds.IMPORT, "wait")
        async with workshop() as shop:
            job = shop.put(kinds.process, "sleep", 60, timeout=1.5, max_attempts=1)
            await shop.until_heard("importing")
            (slot,) = shop.board.running()
            assert slot.deadline > slot.started + 60
            await eventually(lambda: now() > slot.started + 2)  # more than the job may take
            assert hands.state(shop.store, job) is State.RUNNING
            shop.go_on("import")
            await shop.until_heard("ran")
            (slot,) = shop.board.running()
            assert slot.deadline - slot.started > 2
            assert slot.deadline <= now() + 1.5
            ended = await shop.until(job)
            assert ended.outcome == "timed_out"

    asyncio.run(play())


def test_handlers_cannot_take_its_threads_away(workshop: Make) -> None:
    """A loop whose own pool is full of what does not end still starts and ends processes."""

    async def play() -> None:
        try:
            async with workshop(cancel_grace=0.2) as shop:
                await shop.until(shop.put(kinds.clog))
                job = await do(shop, "stubborn", 60, timeout=0.8, max_attempts=1)
                assert job.outcome == "timed_out"
                result(await do(shop, "pid"))
        finally:
            kinds.UNCLOG.set()

    asyncio.run(play())


def test_idle_processes_end_with_the_worker(workshop: Make) -> None:
    """A drained child leaves no process behind."""

    async def play() -> None:
        async with workshop() as shop:
            pid = result(await do(shop, "pid"))
            assert procs.alive(pid)
        assert not procs.alive(pid)

    asyncio.run(play())


def test_idle_processes_are_let_go(workshop: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that has run nothing for a while gives its memory back."""

    async def play() -> None:
        monkeypatch.setattr("workhorse.engine.executors.own_process.IDLE_SECONDS", 0.2)
        async with workshop() as shop:
            pid = result(await do(shop, "pid"))
            await eventually(lambda: not procs.look(pid))

    asyncio.run(play())
