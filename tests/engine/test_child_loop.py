"""The claim → run → settle loop of one child, in this process, on a real store."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.engine import kinds
from tests.engine.workshop import Workshop, eventually, job
from tests.store import hands
from workhorse.domain.errors import InvalidJob, Unavailable
from workhorse.domain.events import OutputLine
from workhorse.domain.job import State
from workhorse.domain.outcome import Released
from workhorse.domain.retry import Backoff
from workhorse.engine.appetite import BATCH
from workhorse.engine.attempts import HOARD
from workhorse.engine.board import Mark
from workhorse.store.protocol import TURN_BYTES, ClaimRequest, Settled, Turn
from workhorse.store.verbs import edges

Make = Callable[..., Workshop]
Refuses = Callable[[Sequence[Settled], Sequence[OutputLine]], bool]
Refuse = Callable[[Workshop, Refuses], None]


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> Refuse:
    """Return what has the store of a workshop refuse turns, by what they are to write down."""

    def choose(shop: Workshop, refuses: Refuses) -> None:
        turn = shop.store.turn

        def choosy(
            worker: int,
            settled: Sequence[Settled],
            output: Sequence[OutputLine],
            claim: ClaimRequest | None,
        ) -> Turn:
            if refuses(settled, output):
                raise InvalidJob(f"the store cannot hold this: {'x' * 1000}")
            return turn(worker, settled, output, claim)

        monkeypatch.setattr(shop.store, "turn", choosy)

    return choose


def is_poison(one: Settled) -> bool:
    """Whether this is the end of a job that echoed so."""
    return one.change.result == '"poison"'


def test_a_job_is_claimed_run_and_settled(workshop: Make) -> None:
    """Its result is stored, the record tells its life, and nothing of it is left in the child."""

    async def play() -> None:
        async with workshop() as shop:
            done = await shop.until(shop.put(kinds.echo, {"a": [1, None]}))
            assert (done.state, done.result) == (State.SUCCEEDED, '{"a":[1,null]}')
            assert hands.story(shop.store, done.id) == ["enqueue", "claim", "complete"]
            await eventually(lambda: shop.child.idle)
            assert shop.board.running() == []
            assert shop.child.finished == 1

    asyncio.run(play())


def test_jobs_start_by_queue_then_priority_then_age(workshop: Make) -> None:
    """One slot: the whole order can be seen."""

    async def play() -> None:
        shop = workshop(concurrency=1, queues=("early", "late"))
        wanted = [
            shop.put(kinds.echo, queue=queue, priority=priority)
            for queue in ("early", "late")
            for priority in (20, 0, 0, -10)
        ]
        # They were enqueued in the order wanted; let age speak against it.
        wanted = [wanted[0], shop.put(kinds.echo, queue="early", priority=20), *wanted[1:]]
        async with shop:
            ran = await shop.until_heard("ran", len(wanted))
            assert [int(one) for one in ran] == wanted

    asyncio.run(play())


def test_no_more_run_at_once_than_there_are_slots(workshop: Make) -> None:
    """A flood of jobs of every executor fills the slots and never overfills them."""

    async def play() -> None:
        async with workshop(concurrency=3) as shop:
            seen = []
            jobs = [job(kinds.nap, 0.02) for _ in range(20)]
            jobs += [job(kinds.sleep, 0.02) for _ in range(20)]
            ids = shop.put_many(jobs)

            def look() -> bool:
                seen.append(len(shop.board.running()))
                return all(hands.state(shop.store, one) is State.SUCCEEDED for one in ids)

            await eventually(look)
            assert max(seen) == 3
            assert all(shop.outcomes(one) == ["ok"] for one in ids)

    asyncio.run(play())


def test_slow_jobs_are_not_claimed_ahead(workshop: Make) -> None:
    """Jobs that begin and end together are no flood: what has no slot stays in the queue."""

    async def play() -> None:
        async with workshop(concurrency=4) as shop:
            ids = shop.put_many([job(kinds.nap, 0.05) for _ in range(24)])
            most = 0

            def look() -> bool:
                nonlocal most
                held = len(shop.store.held(shop.id))
                most = max(most, held)
                return all(hands.state(shop.store, one) is State.SUCCEEDED for one in ids)

            await eventually(look)
            assert most <= 4
            assert all(shop.outcomes(one) == ["ok"] for one in ids)

    asyncio.run(play())


def test_a_turn_carries_no_more_than_it_can(
    workshop: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large results are written down by and by, and large arguments are not claimed ahead."""

    async def play() -> None:
        shop = workshop(concurrency=24)
        turns: list[int] = []

        def turn(*given: Any) -> Turn:
            turns.append(sum(len(one.change.result or "") for one in given[1]))
            return real(*given)

        real = shop.store.turn
        monkeypatch.setattr(shop.store, "turn", turn)
        ids = shop.put_many([job(kinds.echo, "x" * 1_000_000) for _ in range(24)])
        async with shop:
            await eventually(lambda: shop.child.idle and shop.child.finished == len(ids))
            assert sum(turns) == len(ids) * 1_000_002
            assert max(turns) <= TURN_BYTES
            shop.child._appetite.ahead, shop.child._hungry = BATCH, True  # as in a flood
            request = shop.child._request()
            assert request is not None
            assert request.limit == TURN_BYTES // 1_000_011

    asyncio.run(play())


def test_a_slot_is_not_left_empty_because_a_turn_was_full(workshop: Make) -> None:
    """Where large arguments end a claim early, the next one follows at once."""

    async def play() -> None:
        shop = workshop(concurrency=120, poll_interval=600.0)
        large = replace(nap := job(kinds.nap, 600), args=nap.args + " " * (TURN_BYTES // 50))
        shop.put_many([large] * 130)
        async with shop:
            await eventually(lambda: shop.child.running == shop.config.concurrency)
            shop.child.abandon("the test is over")

    asyncio.run(play())


def test_what_was_claimed_ahead_does_not_wait_for_slow_jobs(workshop: Make) -> None:
    """A flood that turns slow gives back what it cannot start; an urgent job goes first."""

    async def play() -> None:
        shop = workshop(concurrency=2, queues=("early", "late"))
        slow = [job(kinds.nap, 1.5, queue="late") for _ in range(2)]
        flood = [job(kinds.echo, queue="late") for _ in range(3 * BATCH)]
        shop.put_many(flood[:BATCH] + slow + flood[BATCH:])
        async with shop:
            await eventually(lambda: len(shop.board.running()) == 2 and _all_nap(shop))
            # Both slots are taken: nobody may sit on jobs that somebody else could run.
            await eventually(lambda: len(shop.store.held(shop.id)) == 2, within=1.0 + 2 * HOARD)
            urgent = shop.put(kinds.echo, queue="early")
            await shop.until(urgent)
            after = shop.heard("ran").index(str(urgent))
            assert len(shop.heard("ran")) - after < BATCH, "the flood went first"

    asyncio.run(play())


def _all_nap(shop: Workshop) -> bool:
    running = {slot.job_id for slot in shop.board.running()}
    return all(hands.the(shop.store, one).kind == "nap" for one in running)


def test_a_drain_gives_back_what_has_not_started(workshop: Make) -> None:
    """Nothing is claimed any more, what runs ends well, and what waits in the child goes back."""

    async def play() -> None:
        async with workshop(concurrency=2) as shop:
            shop.put_many([job(kinds.echo) for _ in range(50)])
            await shop.until_heard("ran", 50)
            running = shop.put_many([job(kinds.nap, 0.4) for _ in range(2)])
            waiting = shop.put_many([job(kinds.nap, 0.0) for _ in range(2 * BATCH)])
            await shop.until_heard("ran", 52)
            shop.child.drain()
            await asyncio.wait_for(shop.running, 10)
            assert [hands.state(shop.store, one) for one in running] == [State.SUCCEEDED] * 2
            assert {hands.state(shop.store, one) for one in waiting} == {State.AVAILABLE}
            assert shop.store.held(shop.id) == []
            assert all(set(shop.outcomes(one)) <= {"released"} for one in waiting)
            assert all(hands.the(shop.store, one).failures == 0 for one in waiting)

    asyncio.run(play())


def test_jobs_claimed_while_the_drain_came_do_not_start(
    workshop: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A claim that was on its way when the worker was told to drain is given back whole."""

    async def play() -> None:
        shop = workshop()
        (one,) = shop.put_many([job(kinds.echo)])
        turn = shop.store.turn

        def drained_meanwhile(*args: Any) -> Turn:
            answer = turn(*args)
            if answer.claimed:
                shop.child.drain()
            return answer

        monkeypatch.setattr(shop.store, "turn", drained_meanwhile)
        async with shop:
            await asyncio.wait_for(shop.running, 10)
            assert shop.heard("ran") == []
            assert hands.state(shop.store, one) is State.AVAILABLE
            assert shop.outcomes(one) == ["released"]

    asyncio.run(play())


@pytest.mark.parametrize("kind", [kinds.nap, kinds.polite, kinds.process], ids=lambda k: k.name)
def test_what_is_abandoned_is_released(workshop: Make, kind: Any) -> None:
    """At the end of the grace handlers are told to end: released, and not charged for it."""

    async def play() -> None:
        arguments = {"nap": (60,), "process": ("sleep", 60)}.get(kind.name, ())
        async with workshop() as shop:
            one = shop.put(kind, *arguments)
            await shop.until_heard("ran")
            shop.child.abandon("its worker was told to stop")
            await asyncio.wait_for(shop.running, 10)
            assert hands.state(shop.store, one) is State.AVAILABLE
            (attempt,) = shop.store.attempts(one)
            assert attempt.outcome == "released"
            assert attempt.error == {"type": "Released", "message": "its worker was told to stop"}
            assert hands.the(shop.store, one).failures == 0

    asyncio.run(play())


def test_what_ends_by_itself_when_abandoned_counts(workshop: Make) -> None:
    """A thread that was never told, and has done all its work, is not made to do it again."""

    async def play() -> None:
        async with workshop(cancel_grace=20) as shop:
            one = shop.put(kinds.sleep, 0.5)
            await shop.until_heard("ran")
            shop.child.abandon("its worker was told to stop")
            await asyncio.wait_for(shop.running, 20)
            assert hands.state(shop.store, one) is State.SUCCEEDED
            assert shop.outcomes(one) == ["ok"]

    asyncio.run(play())


def test_an_attempt_abandoned_before_its_first_step_is_over(workshop: Make) -> None:
    """A task that is cancelled before it has begun never runs, and does not hold its slot."""

    async def play() -> None:
        async with workshop() as shop:
            (one,) = shop.put_many([job(kinds.echo)])
            start = shop.child._attempts._start

            def start_and_abandon(claimed: Any) -> None:
                start(claimed)
                shop.child.abandon("at once")

            shop.child._attempts._start = start_and_abandon  # type: ignore[method-assign, assignment]
            await asyncio.wait_for(shop.running, 10)
            assert shop.heard("ran") == []
            assert shop.condemned == 0
            assert shop.outcomes(one) == ["released"]

    asyncio.run(play())


def test_the_result_of_a_lost_attempt_is_dropped(workshop: Make) -> None:
    """An attempt whose job was given to another writes nothing when it ends, and says so."""

    async def play() -> None:
        async with workshop() as shop:
            one = shop.put(kinds.nap, 0.3)
            await shop.until_heard("ran")
            shop.store.rescue(shop.id, reason="taken for dead", expired_only=False)
            other = hands.Worker(shop.store, kinds=["nap"])
            again = other.take()
            with capture_logs() as logs:
                await shop.until_heard("ended")
                await eventually(lambda: shop.lease_lost)
            lost = [line for line in logs if line["event"] == "lease lost"]
            assert [(line["job_id"], line["attempt"]) for line in lost] == [(one, 1)]
            now = hands.the(shop.store, one)
            assert (now.state, now.attempt, now.worker) == (State.RUNNING, 2, other.id)
            assert other.settle(again, hands.OK) == []
            assert shop.outcomes(one) == ["lost", "ok"]

    asyncio.run(play())


def test_a_worker_whose_lease_ran_out_claims_nothing(workshop: Make) -> None:
    """It may end what it runs, which still counts while nobody has taken it."""

    async def play() -> None:
        async with workshop(lease=0.5) as shop:
            running = shop.put(kinds.nap, 1.0)
            await shop.until_heard("ran")
            await eventually(lambda: list(shop.store.look().expired) == [shop.id])
            waiting = shop.put(kinds.echo)
            assert (await shop.until(running)).state is State.SUCCEEDED
            await eventually(lambda: shop.child.idle)
            assert hands.state(shop.store, waiting) is State.AVAILABLE
            shop.store.renew(shop.id, 60.0)
            await shop.until(waiting)

    asyncio.run(play())


def test_a_store_out_of_reach_is_waited_for(
    workshop: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ended meanwhile, and what was said, is written down when it is back: once, in order."""

    async def play() -> None:
        async with workshop() as shop:
            one = shop.put(kinds.talk, 3)
            turn = shop.store.turn
            refused = 0

            def away(worker: int, settled: Sequence[Settled], *rest: Any) -> Turn:
                nonlocal refused
                if (settled or refused) and refused < 3:
                    refused += 1
                    raise Unavailable("away")
                return turn(worker, settled, *rest)

            monkeypatch.setattr(shop.store, "turn", away)
            with capture_logs() as logs:
                assert (await shop.until(one)).state is State.SUCCEEDED
            assert refused == 3
            assert shop.outcomes(one) == ["ok"]
            assert shop.lines(one) == ["line 0", "line 1", "line 2"]
            assert sum("out of reach" in line["event"] for line in logs) == 1
            await shop.until(shop.put(kinds.echo))

    asyncio.run(play())


def test_the_stream_of_a_job_is_in_order(workshop: Make) -> None:
    """Progress stands where it was said, between the log lines before and behind it."""

    async def play() -> None:
        async with workshop() as shop:
            one = shop.put(kinds.narrate)
            await shop.until(one)
            said = [
                (event.name, event.data["message"])
                for event in shop.store.events(job_id=one)
                if event.name in {"log", "progress"}
            ]
            assert said == [
                ("progress", "first"),
                ("log", "second"),
                ("progress", "third"),
                ("log", "fourth"),
            ]

    asyncio.run(play())


def test_it_can_be_stuck_from_its_first_turn(
    workshop: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first job may hold the interpreter at once: the board tells of a loop before that."""

    async def play() -> None:
        shop = workshop()
        turn, turned_at = shop.store.turn, []

        def looking(*args: Any) -> Turn:
            turned_at.append(shop.board.turned_at)
            return turn(*args)

        monkeypatch.setattr(shop.store, "turn", looking)
        async with shop:
            await shop.until(shop.put(kinds.echo))
        assert turned_at[0] > 0

    asyncio.run(play())


def test_a_locked_store_holds_up_neither_deadlines_nor_the_loop(workshop: Make) -> None:
    """While another process sits on the store's lock, a time limit still ends its attempt."""

    async def play() -> None:
        async with workshop() as shop:
            limited = shop.put(kinds.nap, 60, timeout=0.5)
            other = shop.put(kinds.nap, 0.2)
            await shop.until_heard("ran", 2)
            lock = sqlite3.connect(shop.folder / "jobs.db", isolation_level=None)
            lock.execute("begin immediate")
            await eventually(lambda: shop.board.running() == [])
            turned = shop.board.turned_at
            await eventually(lambda: shop.board.turned_at > turned + 0.3)
            lock.execute("rollback")
            lock.close()
            await shop.until(other)
            await eventually(lambda: shop.outcomes(limited)[:1] == ["timed_out"])

    asyncio.run(play())


def test_an_end_the_store_refuses_wedges_nothing(workshop: Make, refuse: Refuse) -> None:
    """What cannot be written down fails its own job, once; what ended beside it is written."""

    async def play() -> None:
        shop = workshop(concurrency=8)
        refuse(shop, lambda settled, _: any(map(is_poison, settled)))
        ids = shop.put_many([job(kinds.echo, text) for text in ("a", "poison", "b", "c")])
        async with shop:
            ended = [await shop.until(one) for one in ids]
        assert [one.state for one in ended] == [
            State.SUCCEEDED,
            State.FAILED,
            State.SUCCEEDED,
            State.SUCCEEDED,
        ]
        assert ended[1].error is not None
        assert "could not be written down" in ended[1].error["message"]
        assert len(ended[1].error["message"]) == 500
        assert [shop.outcomes(one) for one in ids] == [["ok"], ["error"], ["ok"], ["ok"]]

    asyncio.run(play())


def test_a_retry_that_was_refused_at_first_is_on_time(workshop: Make, refuse: Refuse) -> None:
    """The supervisor hears when it is due, as of any other."""

    async def play() -> None:
        shop = workshop()
        refused: list[int] = []

        def at_first(settled: Sequence[Settled], _: object) -> bool:
            if refused or not settled:
                return False
            refused.append(settled[0].id)
            return True

        refuse(shop, at_first)
        due: list[float] = []
        async with shop:
            shop.child.on_scheduled = due.append
            one = shop.put(kinds.hostile, "group")
            await eventually(lambda: due)
        assert refused == [one]

    asyncio.run(play())


def test_output_the_store_refuses_is_dropped(workshop: Make, refuse: Refuse) -> None:
    """A line that cannot be kept costs neither its job nor the child anything more."""

    async def play() -> None:
        async with workshop() as shop:
            refuse(shop, lambda _, output: bool(output))
            one = shop.put(kinds.talk, 3)
            assert (await shop.until(one)).state is State.SUCCEEDED
            assert shop.lines(one) == []

    asyncio.run(play())


def test_output_the_store_refuses_costs_nobody_else_a_line(workshop: Make, refuse: Refuse) -> None:
    """What was said beside it is kept, and so are lines beside an end that is refused."""

    async def play() -> None:
        shop = workshop(concurrency=4)
        quiet, loud = shop.put(kinds.talk, 3), shop.put(kinds.talk, 3)
        poison = shop.put(kinds.echo, "poison")

        def choosy(settled: Sequence[Settled], output: Sequence[OutputLine]) -> bool:
            return any(line.job_id == quiet for line in output) or any(map(is_poison, settled))

        refuse(shop, choosy)
        async with shop:
            for one in (quiet, loud):
                assert (await shop.until(one)).state is State.SUCCEEDED
            assert (await shop.until(poison)).state is State.FAILED
        assert shop.lines(quiet) == []
        assert shop.lines(loud) == ["line 0", "line 1", "line 2"]

    asyncio.run(play())


HOSTILE = ["exit", "interrupt", "cancelled", "generator", "group", "text"]


@pytest.mark.parametrize("how", HOSTILE)
def test_whatever_a_handler_raises_is_an_outcome(workshop: Make, how: str) -> None:
    """Nothing a handler raises ends the child or hangs its job: it failed, and is tried again."""

    async def play() -> None:
        async with workshop() as shop:
            one = shop.put(kinds.hostile, how)
            ended = await shop.until(one)
            assert ended.state is State.FAILED
            assert shop.outcomes(one) == ["error"] * 3
            assert len(shop.heard("ran")) == 3
            assert (await shop.until(shop.put(kinds.echo))).state is State.SUCCEEDED

    asyncio.run(play())


def test_an_exception_that_cannot_be_judged_fails_its_job(workshop: Make) -> None:
    """What a class of the handler's own keeps from us does not keep the slot: it is told, once."""

    async def play() -> None:
        async with workshop() as shop:
            one = shop.put(kinds.hostile, "snooze")
            ended = await shop.until(one)
            assert ended.state is State.FAILED
            assert shop.outcomes(one) == ["error"]
            assert ended.error is not None
            assert "what it means cannot be told: AttributeError" in ended.error["message"]

    asyncio.run(play())


@pytest.mark.parametrize("how", ["result", "object", "huge"])
def test_whatever_a_handler_returns_ends_its_job(workshop: Make, how: str) -> None:
    """A result nobody can store is said to be so, or cleaned: the job ends either way."""

    async def play() -> None:
        async with workshop() as shop:
            ended = await shop.until(shop.put(kinds.hostile, how))
            assert ended.is_finished
            assert (await shop.until(shop.put(kinds.echo))).state is State.SUCCEEDED

    asyncio.run(play())


@pytest.mark.parametrize("kind", [kinds.nap, kinds.polite], ids=lambda k: k.name)
def test_a_running_job_is_cancelled(workshop: Make, kind: Any) -> None:
    """Its handler is told, ends, and the child goes on: nothing is condemned."""

    async def play() -> None:
        async with workshop(cancel_grace=10) as shop:
            one = shop.put(kind, *((60,) if kind is kinds.nap else ()))
            await shop.until_heard("ran")
            shop.store.cancel(one)
            assert (await shop.until(one)).state is State.CANCELLED
            assert shop.outcomes(one) == ["cancelled"]
            assert shop.condemned == 0
            assert (await shop.until(shop.put(kinds.echo))).state is State.SUCCEEDED

    asyncio.run(play())


def test_a_job_cancelled_before_it_started_never_starts(workshop: Make) -> None:
    """Claimed ahead of a free slot and cancelled there, it is over, and its handler never ran."""

    async def play() -> None:
        async with workshop(concurrency=1) as shop:
            shop.put(kinds.nap, 1.2)
            await shop.until_heard("ran")
            waiting = shop.put(kinds.echo)
            shop.child._appetite.ahead = 5
            shop.child.wake()
            await shop.until(waiting, State.RUNNING)
            shop.child._attempts._taken_at = (
                time.monotonic() + 1e9
            )  # it is not given back meanwhile
            shop.store.cancel(waiting)
            assert (await shop.until(waiting)).state is State.CANCELLED
            assert shop.outcomes(waiting) == ["cancelled"]
            assert len(shop.heard("ran")) == 1

    asyncio.run(play())


def test_an_attempt_over_its_time_is_ended(workshop: Make) -> None:
    """A time limit is kept to about a tenth of a second, and costs one of the budget."""

    async def play() -> None:
        async with workshop() as shop:
            one = shop.put(kinds.nap, 60, timeout=0.3, max_attempts=1)
            began = time.monotonic()
            ended = await shop.until(one)
            assert ended.state is State.FAILED
            assert shop.outcomes(one) == ["timed_out"]
            assert time.monotonic() - began >= 0.3
            assert shop.heard("ended") == []

    asyncio.run(play())


def test_one_that_swallows_its_cancellation_condemns_the_child(workshop: Make) -> None:
    """The child claims no more, lets neighbours end, and says that its process must be ended."""

    async def play() -> None:
        async with workshop(cancel_grace=0.2) as shop:
            deaf = shop.put(kinds.deaf, 3.0, timeout=0.2)
            neighbour = shop.put(kinds.nap, 1.0)
            await shop.until_heard("ran", 2)
            await eventually(lambda: shop.condemned)
            after = shop.put(kinds.echo)
            await asyncio.wait_for(shop.running, 10)
            assert shop.condemned == 1
            assert hands.state(shop.store, neighbour) is State.SUCCEEDED
            assert hands.state(shop.store, after) is State.AVAILABLE
            # What will not end is left to the supervisor: it knows why from the board.
            (slot,) = shop.board.running()
            assert (slot.job_id, slot.mark) == (deaf, Mark.TIMED_OUT)
            assert hands.state(shop.store, deaf) is State.RUNNING

    asyncio.run(play())


def test_a_thread_over_its_time_condemns_the_child_after_its_grace(workshop: Make) -> None:
    """A thread cannot be ended; one that looks is given the time to."""

    async def play() -> None:
        async with workshop(cancel_grace=0.3) as shop:
            polite = shop.put(kinds.polite, timeout=0.2, max_attempts=1)
            assert (await shop.until(polite)).state is State.FAILED
            assert shop.condemned == 0
            deaf = shop.put(kinds.sleep, 2.0, timeout=0.2)
            await eventually(lambda: shop.condemned)
            await asyncio.wait_for(shop.running, 10)
            assert hands.state(shop.store, deaf) is State.RUNNING

    asyncio.run(play())


def test_a_solo_child_runs_suspects_one_at_a_time(workshop: Make) -> None:
    """Jobs that must run alone do, and a child that is not for them leaves them alone."""

    async def play() -> None:
        shop = workshop(solo=True, concurrency=4)
        suspects = shop.put_many([job(kinds.nap, 0.05) for _ in range(3)])
        judge = hands.Worker(shop.store, kinds=["nap"])
        for claimed in judge.claim():
            judge.settle(claimed, Released("a suspect", solo=True))
        ordinary = shop.put(kinds.nap, 0)
        async with shop:
            most = 0

            def look() -> bool:
                nonlocal most
                most = max(most, len(shop.store.held(shop.id)))
                return all(hands.state(shop.store, one) is State.SUCCEEDED for one in suspects)

            await eventually(look)
            assert most == 1
            assert hands.state(shop.store, ordinary) is State.AVAILABLE

    asyncio.run(play())


def test_burst_is_done_when_nothing_is_left(workshop: Make) -> None:
    """A child in burst mode says so when it has found the queues empty and nothing runs."""

    async def play() -> None:
        async with workshop(burst=True) as shop:
            one = shop.put(kinds.nap, 0.3)
            await shop.until_heard("ran")
            assert not shop.child.burst_done
            await eventually(lambda: shop.child.burst_done)
            assert hands.state(shop.store, one) is State.SUCCEEDED

    asyncio.run(play())


def test_a_bug_in_the_watch_is_not_passed_over(workshop: Make) -> None:
    """If nobody looks at deadlines any more the child ends, rather than run on blindly."""

    async def play() -> None:
        async with workshop() as shop:
            shop.put(kinds.nap, 60)
            await shop.until_heard("ran")

            def broken(at: float) -> None:
                raise ZeroDivisionError

            shop.board.turned = broken  # type: ignore[method-assign]
            with pytest.raises(ZeroDivisionError):
                await asyncio.wait_for(asyncio.shield(shop.running), 10)
            shop.running = asyncio.create_task(asyncio.sleep(0))

    asyncio.run(play())


def test_an_attempt_that_cannot_start_has_failed(
    workshop: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No thread left, no memory: the attempt fails, its slot is free, and the child goes on."""

    async def play() -> None:
        import threading

        async with workshop(concurrency=1) as shop:
            start = threading.Thread.start
            refused = 0

            def refuse(thread: threading.Thread) -> None:
                nonlocal refused
                if thread.name.startswith("workhorse-job") and refused < 1:
                    refused += 1
                    raise RuntimeError("can't start new thread")
                start(thread)

            monkeypatch.setattr(threading.Thread, "start", refuse)
            one = shop.put(kinds.talk, 1)
            assert (await shop.until(one)).state is State.SUCCEEDED
            assert shop.outcomes(one) == ["error", "ok"]

    asyncio.run(play())


def test_jobs_that_fail_together_do_not_come_back_together(workshop: Make) -> None:
    """Each waits by a chance of its own, within the jitter of its backoff."""

    async def play() -> None:
        spread = Backoff(base=1000, factor=1, jitter=0.5)
        async with workshop() as shop:
            jobs = [shop.put(kinds.hostile, "exit", backoff=spread) for _ in range(20)]
            for one in jobs:
                await shop.until(one, State.SCHEDULED)
            waits = [
                hands.the(shop.store, one).run_at - shop.store.attempts(one)[0].finished_at
                for one in jobs
            ]
            assert len({round(wait, -3) for wait in waits}) > 10
            assert min(waits) >= 500_000 - 5_000
            assert max(waits) <= 1_500_000 + 5_000

    asyncio.run(play())


def test_all_who_wait_are_seen_to_at_once(workshop: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many wait for a job that has ended: bit by bit, and no supervisor is needed."""
    monkeypatch.setattr(edges, "PORTION", 10)

    async def play() -> None:
        shop = workshop(burst=True)
        good = shop.put(kinds.echo)
        bad = shop.put(kinds.hostile, "exit", max_attempts=1)
        after = [shop.put(kinds.echo, after=[one]) for one in [good] * 35 + [bad] * 35]
        async with shop:
            await eventually(lambda: shop.child.burst_done)
            states = [hands.state(shop.store, one) for one in after]
            assert states == [State.SUCCEEDED] * 35 + [State.CANCELLED] * 35

    asyncio.run(play())
