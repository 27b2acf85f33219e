"""What an enqueue, a kind and a queue may ask for, and which of them has the last word."""

from __future__ import annotations

import asyncio
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

import pytest

from tests.app.helpers import stored, work
from tests.scenarios.facts import eventually
from workhorse import Conflict, Context, Handle, InvalidJob, Kind, NotFound, Retry, State, Workhorse
from workhorse.domain.failed import JobCancelled
from workhorse.domain.retry import MAX_DELAY, Backoff

Noop: TypeAlias = Kind[[], None]

PASTS: list[Any] = [
    0,
    datetime(1970, 1, 1, tzinfo=UTC),
    datetime(2020, 1, 1, tzinfo=ZoneInfo("Asia/Tokyo")),
]


@pytest.fixture
def noop(app: Workhorse) -> Noop:
    @app.job(name="noop")
    def noop() -> None:
        """Do nothing."""

    return noop


# ── when ────────────────────────────────────────────────────────────────────────────────────

LAST = datetime(9999, 12, 31, 23, 59, tzinfo=timezone(timedelta(hours=-14)))
"""Still a date there, and none any more in UTC."""


@pytest.mark.parametrize("delay", [90, 90.0, timedelta(minutes=1, seconds=30)], ids=repr)
def test_a_delay_is_counted_from_the_stores_clock(noop: Noop, delay: Any) -> None:
    """Seconds or a timedelta: the job is scheduled, that much after it was enqueued."""
    job = noop.using(delay=delay).enqueue().job
    assert job.state is State.SCHEDULED
    assert job.run_at - job.enqueued_at == 90_000


def test_no_delay_is_now(noop: Noop) -> None:
    """A delay of nothing makes the job available at once."""
    assert noop.using(delay=0).enqueue().state is State.AVAILABLE


INSTANT = 1_999_999_999_123
"""2033-05-18 03:33:19.123 UTC, in milliseconds."""


@pytest.mark.parametrize(
    "run_at",
    [
        INSTANT,
        datetime(2033, 5, 18, 3, 33, 19, 123_000, tzinfo=UTC),
        datetime(2033, 5, 18, 5, 33, 19, 123_000, tzinfo=ZoneInfo("Europe/Berlin")),
        datetime(2033, 5, 17, 20, 3, 19, 123_000, tzinfo=timezone(timedelta(hours=-7.5))),
    ],
    ids=str,
)
def test_an_instant_is_the_same_in_every_zone(noop: Noop, run_at: Any) -> None:
    """A datetime with any zone, or milliseconds since 1970: one instant, to the millisecond."""
    job = noop.using(run_at=run_at).enqueue().job
    assert (job.state, job.run_at) == (State.SCHEDULED, INSTANT)


def test_the_two_twos_of_an_autumn_night_are_an_hour_apart(noop: Noop) -> None:
    """When clocks go back an hour comes twice: `fold` tells which is meant."""
    berlin = ZoneInfo("Europe/Berlin")
    first = datetime(2033, 10, 30, 2, 30, tzinfo=berlin)
    one, two = (noop.using(run_at=first.replace(fold=fold)).enqueue().job for fold in (0, 1))
    assert two.run_at - one.run_at == 3_600_000


@pytest.mark.parametrize("run_at", PASTS, ids=str)
def test_an_instant_that_is_over_is_now(noop: Noop, run_at: Any) -> None:
    """A job that is due already is available."""
    assert noop.using(run_at=run_at).enqueue().state is State.AVAILABLE


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"run_at": datetime(2033, 1, 1)}, "has no time zone.+tzinfo=UTC"),  # noqa: DTZ001
        ({"run_at": datetime(1969, 1, 1, tzinfo=UTC)}, "run_at must be from 1970 to 9999"),
        ({"run_at": LAST}, "run_at must be from 1970 to 9999"),
        ({"run_at": -1}, "run_at must be from 1970 to 9999"),
        ({"run_at": 2**53}, "run_at must be from 1970 to 9999"),
        ({"run_at": 1.5}, "run_at must be a datetime"),
        ({"run_at": True}, "run_at must be a datetime"),
        ({"run_at": "tomorrow"}, "run_at must be a datetime"),
        ({"delay": 1, "run_at": 1}, "not both"),
        ({"delay": -0.001}, "delay must be 0 to"),
        ({"delay": float("nan")}, "delay must be 0 to"),
        ({"delay": float("inf")}, "delay must be 0 to"),
        ({"delay": MAX_DELAY + 1}, "delay must be 0 to"),
        ({"delay": 10**400}, "delay must be 0 to"),
        ({"delay": timedelta(days=-1)}, "delay must be 0 to"),
        ({"delay": True}, "delay must be a number of seconds, not a bool"),
        ({"delay": "60"}, "delay must be a number of seconds, not a str"),
        ({"priority": "urgent"}, "'urgent' is not a priority"),
        ({"priority": 2**31}, "32 bits"),
        ({"queue": "a/b"}, "cannot name a queue"),
        ({"queue": ["a"]}, "cannot name a queue"),
        ({"timeout": 0}, "timeout must be"),
        ({"timeout": -1}, "timeout must be"),
        ({"timeout": float("inf")}, "timeout must be"),
        ({"timeout": 10**400}, "timeout must be"),
        ({"timeout": "60"}, "timeout must be"),
        ({"max_attempts": 0}, "max_attempts must be 1 to"),
        ({"max_attempts": 2**31}, "max_attempts must be 1 to"),
        ({"max_attempts": 1.5}, "max_attempts must be an integer"),
        ({"max_attempts": True}, "max_attempts must be an integer"),
        ({"unique": ""}, "unique must be a text of 1 to 255"),
        ({"unique": "x" * 256}, "unique must be a text of 1 to 255"),
        ({"unique": "a\0"}, "unique must be a text of 1 to 255"),
        ({"unique": "\ud800"}, "unique must be a text of 1 to 255"),
        ({"unique": 5}, "unique must be a text of 1 to 255"),
        ({"idempotency_key": ""}, "idempotency_key must be a text of 1 to 255"),
        ({"idempotency_key": "x" * 256}, "idempotency_key must be a text of 1 to 255"),
        ({"idempotency_key": "a\0"}, "idempotency_key must be a text of 1 to 255"),
        ({"idempotency_key": 17}, "idempotency_key must be a text of 1 to 255"),
        ({"after": [0]}, "after takes handles or ids"),
        ({"after": [True]}, "after takes handles or ids"),
        ({"after": ["1"]}, "after takes handles or ids"),
        ({"after": "12"}, "after takes handles or ids"),
        ({"after": 1.5}, "after takes handles or ids"),
        ({"after": 2**63}, "after takes handles or ids"),
        ({"after": range(1, 1002)}, "up to 1,000 jobs, not 1,001"),
    ],
    ids=lambda case: str(case)[:40],
)
def test_an_option_that_makes_no_sense_is_refused(
    app: Workhorse, noop: Noop, options: dict[str, Any], told: str
) -> None:
    """The option is named; nothing is stored."""
    with pytest.raises(InvalidJob, match=told):
        noop.using(**options).enqueue()
    assert stored(app) == []


# ── one enqueue, its kind, its queue ────────────────────────────────────────────────────────


def test_every_option_reaches_the_job(noop: Noop) -> None:
    """What was asked for one enqueue is what its job has."""
    job = (
        noop.using(priority="critical", queue="q", unique="k", timeout=2.5, max_attempts=9)
        .enqueue()
        .job
    )
    assert (job.priority, job.queue, job.unique) == (20, "q", "k")
    assert (job.timeout, job.max_attempts) == (2.5, 9)


def test_using_changes_nothing_but_what_it_says(noop: Noop) -> None:
    """Each `using` is a kind of its own: what was said before holds until it is said anew."""
    slow = noop.using(timeout=5, priority="low")
    slower = slow.using(timeout=None)
    assert (slow.enqueue().job.timeout, slow.enqueue().job.priority) == (5, -10)
    assert (slower.enqueue().job.timeout, slower.enqueue().job.priority) == (None, -10)
    assert (noop.enqueue().job.timeout, noop.enqueue().job.priority) == (3600, 0)


def test_a_prepared_kind_can_be_used_again_and_again(noop: Noop) -> None:
    """Whatever `after` was given as is looked through once, and remembered."""
    first = noop.enqueue()
    prepared = noop.using(after=iter([first]))
    assert [prepared.enqueue().state for _ in range(2)] == [State.BLOCKED] * 2


QUEUED = {"retry": Retry(max_attempts=9, base=7), "timeout": 60, "priority": "low"}


@pytest.mark.parametrize("first", ["queue", "kind"])
def test_a_queue_speaks_for_kinds_that_say_nothing(app: Workhorse, first: str) -> None:
    """Retry policy, timeout and priority of a queue hold for its jobs, in whatever order declared.

    The worker reads the policy off the kind, so the kind has it too.
    """
    if first == "queue":
        app.queue("builds", **QUEUED)  # type: ignore[arg-type]

    @app.job(queue="builds")
    def build() -> None:
        """Do nothing."""

    build.enqueue()
    if first == "kind":
        app.queue("builds", **QUEUED)  # type: ignore[arg-type]
    job = build.enqueue().job
    assert (job.max_attempts, job.timeout, job.priority) == (9, 60, -10)
    assert job.backoff == Backoff(base=7)
    assert app.kinds["build"] is build
    assert build.spec.retry_in("builds").max_attempts == 9


def test_a_kind_speaks_before_its_queue_and_an_enqueue_before_both(app: Workhorse) -> None:
    """The nearest to the job has the last word, option by option."""
    app.queue("builds", **QUEUED)  # type: ignore[arg-type]

    @app.job(queue="builds", retry=2, timeout=None)
    def build() -> None:
        """Do nothing."""

    job = build.enqueue().job
    assert (job.max_attempts, job.timeout, job.priority) == (2, None, -10)
    job = build.using(max_attempts=4, timeout=1, priority=0).enqueue().job
    assert (job.max_attempts, job.timeout, job.priority) == (4, 1, 0)


def test_a_job_sent_to_another_queue_follows_that_one(app: Workhorse, noop: Noop) -> None:
    """The defaults are those of the queue the job waits in."""
    app.queue("builds", **QUEUED)  # type: ignore[arg-type]
    job = noop.using(queue="builds").enqueue().job
    assert (job.max_attempts, job.timeout, job.priority) == (9, 60, -10)
    assert noop.enqueue().job.max_attempts == 5


def test_the_errors_worth_another_attempt_are_those_of_the_jobs_queue(inline: Workhorse) -> None:
    """Of a job sent to another queue, too: the policy is that queue's as a whole."""

    @inline.job
    def fragile() -> None:
        raise ValueError("broken")

    inline.queue("careful", retry=Retry(never=(ValueError,)))
    assert fragile.using(queue="careful").enqueue().job.attempt == 1
    assert fragile.enqueue().job.attempt == 5
    inline.queue("default", retry=Retry(never=(ValueError,)))
    assert fragile.enqueue().job.attempt == 1
    assert fragile.using(queue="other").enqueue().job.attempt == 5


def test_an_error_of_workhorse_in_a_handler_is_an_error_like_any_other(inline: Workhorse) -> None:
    """A handler that cannot enqueue at first, for example, is tried again as its policy has it."""

    @inline.job
    def child(number: int) -> int:
        return number

    def first_wrong(attempt: int) -> int:
        wrong: Any = "not a number"
        return child.enqueue(wrong if attempt == 1 else attempt).id

    @inline.job
    def parent(ctx: Context) -> int:
        return first_wrong(ctx.attempt)

    @inline.job(retry=Retry(on=(InvalidJob,)))
    async def wanting(ctx: Context) -> int:
        return first_wrong(ctx.attempt)

    @inline.job(retry=Retry(never=(InvalidJob,)))
    async def unwilling(ctx: Context) -> int:
        return first_wrong(ctx.attempt)

    handles: list[Handle[int]] = [parent.enqueue(), wanting.enqueue(), unwilling.enqueue()]
    assert [handle.job.attempt for handle in handles] == [2, 2, 1]


def test_a_queue_can_be_declared_anew(app: Workhorse) -> None:
    """The last declaration of a queue holds, whole."""
    app.queue("default", retry=9, timeout=None)
    noop = app.job(name="noop")(lambda: None)
    assert noop.enqueue().job.timeout is None
    app.queue("default", priority=3)
    job = noop.enqueue().job
    assert (job.max_attempts, job.timeout, job.priority) == (5, 3600, 3)


@pytest.mark.parametrize("odd", [{"retry": 0}, {"timeout": -1}, {"priority": "urgent"}], ids=str)
def test_a_queue_with_odd_defaults_is_refused(app: Workhorse, odd: dict[str, Any]) -> None:
    """Where it is written, not when a job is enqueued."""
    with pytest.raises(InvalidJob):
        app.queue("builds", **odd)
    with pytest.raises(InvalidJob, match="cannot name a queue"):
        app.queue("a b")


# ── unique ──────────────────────────────────────────────────────────────────────────────────


def test_a_unique_key_is_held_by_one_unfinished_job(app: Workhorse, noop: Noop) -> None:
    """A second enqueue stores nothing and answers with the first job."""
    first = noop.using(unique="k").enqueue()
    second = noop.using(unique="k", delay=60).enqueue()
    assert (second.id, second.existing, second.state) == (first.id, True, State.AVAILABLE)
    assert not first.existing
    assert len(stored(app)) == 1
    assert noop.using(unique="K").enqueue().id != first.id


def test_a_unique_key_is_free_when_its_job_has_ended(app: Workhorse, noop: Noop) -> None:
    """Succeeded or cancelled: the key may be used again."""
    first = noop.using(unique="k").enqueue()
    work(app, first.id)
    second = noop.using(unique="k").enqueue()
    second.cancel()
    third = noop.using(unique="k").enqueue()
    assert len({first.id, second.id, third.id}) == 3


def test_a_requeue_cannot_take_a_key_that_is_held(noop: Noop) -> None:
    """The newer job keeps its key; the operator is told."""
    first = noop.using(unique="k").enqueue()
    first.cancel()
    noop.using(unique="k").enqueue()
    with pytest.raises(Conflict, match="unique key"):
        first.requeue()


def test_a_key_twice_in_one_batch_is_one_job(app: Workhorse, noop: Noop) -> None:
    """`enqueue_many` answers for each, with the same job."""
    one = noop.using(unique="k").bind()
    handles = app.enqueue_many([one, noop.bind(), one])
    assert [handle.existing for handle in handles] == [False, False, True]
    assert handles[0].id == handles[2].id
    assert len(stored(app)) == 2


@pytest.mark.parametrize("key", ["unique", "idempotency_key"])
def test_a_key_of_another_kind_is_refused(app: Workhorse, noop: Noop, key: str) -> None:
    """Its handle would promise the wrong result. Nothing is stored, and no neighbour is harmed."""
    other = app.job(name="other")(lambda: None)
    keyed: dict[str, Any] = {key: "k"}
    first = noop.using(**keyed).enqueue()
    clash = other.using(**keyed)
    told = f"belongs to job {first.id}, which is of kind 'noop', not 'other'"
    with pytest.raises(Conflict, match=told):
        clash.enqueue()
    with pytest.raises(Conflict, match=told):
        app.enqueue_many([noop.bind(), clash.bind()])
    assert len(stored(app)) == 1

    async def together() -> list[Any]:
        asked = [clash.aenqueue(), noop.aenqueue(), clash.aenqueue()]
        return await asyncio.gather(*asked, return_exceptions=True)

    refused, kept, again = asyncio.run(together())
    assert isinstance(refused, Conflict)
    assert isinstance(again, Conflict)
    assert [job.id for job in stored(app)] == [first.id, kept.id]


# ── idempotency key ─────────────────────────────────────────────────────────────────────────


def test_an_idempotency_key_outlives_the_end_of_its_job(app: Workhorse, noop: Noop) -> None:
    """Where a unique key is free again this one still answers with its job, and its result."""
    asking = noop.using(idempotency_key="order-17")
    first = asking.enqueue()
    assert not first.existing
    assert (asking.enqueue().id, asking.enqueue().existing) == (first.id, True)
    work(app, first.id)
    again = asking.using(priority="high", delay=60).enqueue()
    assert (again.id, again.existing, again.state) == (first.id, True, State.SUCCEEDED)
    assert again.result(timeout=0) is None
    assert len(stored(app)) == 1


def test_every_way_to_enqueue_takes_an_idempotency_key(app: Workhorse, noop: Noop) -> None:
    """One by one, many at once, by name, and in a coroutine, where calls share a commit."""
    asking = noop.using(idempotency_key="k")

    async def many() -> list[Handle[None]]:
        return await asyncio.gather(*(asking.aenqueue() for _ in range(20)))

    handles = [
        *asyncio.run(many()),
        asking.enqueue(),
        *app.enqueue_many([asking.bind(), asking.bind()]),
        app.enqueue_by_name("noop", {}, idempotency_key="k"),
    ]
    assert {handle.id for handle in handles} == {1}
    assert [handle.existing for handle in handles].count(False) == 1
    assert len(stored(app)) == 1


def test_an_inline_job_with_an_idempotency_key_runs_once(tmp_path: Path) -> None:
    """The second enqueue runs nothing; it has the first one's result."""
    runs: list[int] = []
    with closing(Workhorse(f"sqlite:///{tmp_path}/inline.db", inline=True)) as inline:

        @inline.job
        def count() -> int:
            runs.append(1)
            return len(runs)

        asking = count.using(idempotency_key="k")
        assert [asking.enqueue().result(timeout=0) for _ in range(3)] == [1, 1, 1]


# ── after ───────────────────────────────────────────────────────────────────────────────────


def test_a_job_waits_for_those_it_comes_after(app: Workhorse, noop: Noop) -> None:
    """By handle or id, one or many: blocked until the last of them has succeeded."""
    one, two = noop.enqueue(), noop.enqueue()
    last = noop.using(after=[one, two.id, one]).enqueue()
    assert last.state is State.BLOCKED
    assert list(last.job.waits_for) == [one.id, two.id]
    work(app, one.id)
    assert last.refresh().state is State.BLOCKED
    work(app, two.id)
    assert last.refresh().state is State.AVAILABLE


def test_after_takes_a_handle_alone(app: Workhorse, noop: Noop) -> None:
    """One job need not be a list of one."""
    first = noop.enqueue()
    assert noop.using(after=first).enqueue().state is State.BLOCKED
    assert noop.using(after=first.id).enqueue().state is State.BLOCKED
    work(app, first.id)
    assert noop.using(after=first).enqueue().state is State.AVAILABLE


def test_a_job_is_cancelled_with_the_one_it_waits_for(noop: Noop) -> None:
    """What can never start does not wait for ever, through any number of steps."""
    first = noop.enqueue()
    second = noop.using(after=first).enqueue()
    third = noop.using(after=second).enqueue()
    first.cancel()
    assert second.refresh().state is State.CANCELLED
    assert third.refresh().state is State.CANCELLED


def test_after_a_job_that_has_ended_badly(noop: Noop) -> None:
    """It is cancelled at once, as it would be had the other ended a moment later."""
    good, bad = noop.enqueue(), noop.enqueue()
    bad.cancel()
    late = noop.using(after=[good, bad], unique="late").enqueue()
    assert (late.state, late.existing) == (State.CANCELLED, False)
    with pytest.raises(JobCancelled, match="job 2 cancelled"):
        late.result(timeout=0)
    assert [event.name for event in late.events()] == ["enqueue", "cancel"]
    assert noop.using(after=late).enqueue().state is State.CANCELLED
    again = noop.using(unique="late").enqueue()
    assert (again.existing, again.state) == (False, State.AVAILABLE)


def test_after_a_job_that_is_not_there_is_refused(app: Workhorse, noop: Noop) -> None:
    """Nothing is stored."""
    with pytest.raises(NotFound, match="no job 999 to wait for"):
        noop.using(after=[999]).enqueue()
    assert stored(app) == []


def test_after_a_job_of_another_store_is_refused(
    app: Workhorse, noop: Noop, tmp_path: Path
) -> None:
    """Its id is another job's here; a handle of another app on the same store is as good as any."""
    mine = noop.enqueue()
    with closing(Workhorse(tmp_path / "other.db")) as other, closing(Workhorse(app.url)) as same:
        theirs = other.job(name="noop")(lambda: None).enqueue()
        assert theirs.id == mine.id
        told = rf"Job {theirs.id} is in sqlite:///.+other.db.+jobs.db.+same store"
        for after in (theirs, [mine, theirs], iter([theirs])):
            with pytest.raises(InvalidJob, match=told):
                app.enqueue_by_name("noop", {}, after=after)
        with pytest.raises(InvalidJob, match=told):
            noop.using(after=theirs).bind()
        assert noop.using(after=same.get(mine.id)).enqueue().state is State.BLOCKED
    assert len(stored(app)) == 2


def test_a_delayed_job_after_another_waits_for_both(app: Workhorse, noop: Noop) -> None:
    """The other has succeeded, the time has not come: it is not available yet."""
    first = noop.enqueue()
    later = noop.using(after=first, delay=3600).enqueue()
    assert later.state is State.BLOCKED
    work(app, first.id)
    assert later.refresh().state is not State.AVAILABLE


def test_a_scheduled_job_is_available_when_it_is_due(app: Workhorse, noop: Noop) -> None:
    """The promote pass moves what is due, and leaves the rest."""
    soon, late = noop.using(delay=0.05).enqueue(), noop.using(delay=3600).enqueue()
    eventually(lambda: app.store.promote().jobs == 1, what="a job that is due")
    assert soon.refresh().state is State.AVAILABLE
    assert late.refresh().state is State.SCHEDULED
